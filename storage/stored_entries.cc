#include "storage/stored_entries.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/trust_macs.h"

namespace meshca::storage {

absl::Status CreateEntry(Tables& tables, const KeyEncryption& keys, const RegistrationEntry& entry) {
  MESHCA_ASSIGN_OR_RETURN(const std::optional<LiveEntry> present, tables.entries.FindById(entry.id));
  if (present.has_value()) {
    return absl::AlreadyExistsError(
        absl::StrCat("entry ", entry.id, " is there already; `meshca entry show ", entry.id, "` shows it"));
  }
  return PutEntry(tables, keys, entry);
}

absl::Status PutEntry(Tables& tables, const KeyEncryption& keys, const RegistrationEntry& entry) {
  // Looked up, for no index knows which rows count.
  MESHCA_ASSIGN_OR_RETURN(const std::optional<std::string> holder, tables.entries.FindHolder(entry));
  if (holder.has_value() && *holder != entry.id) {
    return absl::AlreadyExistsError(absl::StrCat("entry: another one already gives ", entry.spiffe_id.uri(),
                                                 " to these selectors",
                                                 entry.ServedByAgents() ? " on these nodes" : ""));
  }
  MESHCA_ASSIGN_OR_RETURN(const std::optional<LiveEntry> old, tables.entries.FindById(entry.id));
  const RowMacs macs = MacsOf(entry, keys);
  return old.has_value() ? tables.entries.Replace(old->ref, entry, macs) : tables.entries.Insert(entry, macs);
}

absl::StatusOr<std::vector<RegistrationEntry>> ListEntries(Tables& tables, const KeyEncryption& keys) {
  std::vector<RegistrationEntry> entries;
  MESHCA_RETURN_IF_ERROR(tables.entries.Visit([&](WithMac<RegistrationEntry> row) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(RegistrationEntry entry, Verified(std::move(row), keys));
    entries.push_back(std::move(entry));
    return absl::OkStatus();
  }));
  return entries;
}

absl::Status DeleteEntry(Tables& tables, absl::string_view id) {
  MESHCA_ASSIGN_OR_RETURN(const bool deleted, tables.entries.Delete(id));
  return deleted ? absl::OkStatus() : absl::NotFoundError(absl::StrCat("entry: no entry ", id));
}

absl::StatusOr<std::optional<RegistrationEntry>> FindGivingEntry(Tables& tables, const KeyEncryption& keys,
                                                                 const std::string& id, const SpiffeId& spiffe_id,
                                                                 absl::Time issued_at) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<LiveEntry> row,
                          id.empty() ? tables.entries.FindByIdentity(spiffe_id) : tables.entries.FindById(id));
  if (!row.has_value()) return std::nullopt;
  MESHCA_ASSIGN_OR_RETURN(RegistrationEntry entry, Verified(std::move(row->entry), keys));
  const bool gives = entry.spiffe_id == spiffe_id && (id.empty() || entry.created_at <= issued_at);
  return gives ? std::optional(std::move(entry)) : std::nullopt;
}

}  // namespace meshca::storage
