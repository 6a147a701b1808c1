#include "storage/inventory.h"

#include <utility>

#include "ca/base/status.h"
#include "storage/stored_entries.h"
#include "storage/trust_macs.h"
#include "storage/trust_rules.h"

namespace meshca::storage {

absl::StatusOr<std::optional<RecordedCertificate>> Inventory::FindRecorded(absl::string_view serial) const {
  return tables_.issuances.FindRecorded(serial);
}

absl::StatusOr<std::optional<Revocation>> Inventory::FindRevokedLine(absl::string_view line) const {
  return tables_.revocations.FindLine(line);
}

absl::StatusOr<std::optional<RegistrationEntry>> Inventory::FindEntry(const std::string& id, const SpiffeId& spiffe_id,
                                                                      absl::Time issued_at) const {
  return FindGivingEntry(tables_, keys_, id, spiffe_id, issued_at);
}

absl::StatusOr<std::optional<NodeRecord>> Inventory::FindNode(absl::string_view node) const {
  MESHCA_ASSIGN_OR_RETURN(std::optional<WithMac<NodeRecord>> row, tables_.nodes.Find(node));
  if (!row.has_value()) return std::nullopt;
  MESHCA_ASSIGN_OR_RETURN(NodeRecord found, Verified(*std::move(row), keys_));
  return found;
}

absl::StatusOr<std::vector<StoredAuthority>> Inventory::ListAuthorities() const {
  MESHCA_ASSIGN_OR_RETURN(AuthoritiesAndBundle trust, LoadTrust(tables_, keys_));
  return std::move(trust.authorities);
}

}  // namespace meshca::storage
