// Whose certificate may be renewed: the rules of a store for a certificate that a caller shows, whatever the database.
#ifndef MESHCA_STORAGE_RENEWAL_RULES_H_
#define MESHCA_STORAGE_RENEWAL_RULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"
#include "ca/issuance/issuance_store.h"
#include "storage/inventory.h"
#include "storage/tables.h"

namespace meshca::storage {

// What a certificate's renewal inherits from it.
struct InheritedRight {
  // kUnknown: the beginning of the line is not on record, so nothing can be looked up. kEntry without a reference: a
  // version that kept no origins issued the first certificate by an entry; any entry of the ID upholds it.
  Origin origin;
  int64_t origin_number = 0;  // RecordedCertificate::origin_number, or 0
  std::string line;           // bytes; "": cannot be told, so the renewal begins a line of its own
  bool unrecorded = false;    // there is no record of the certificate itself, and none was needed
};

// May a caller that shows `shown` be served? The errors are those of IssuanceStore::JudgePresented.
absl::StatusOr<InheritedRight> JudgeRenewal(const Inventory& inventory, const PresentedCertificate& shown,
                                            const std::vector<std::string>* trusted_issuers);
// IssuanceStore::JudgePresented whole, inside a reading transaction of the caller.
absl::StatusOr<IssuanceRecord> JudgePresented(Tables& tables, const KeyEncryption& keys,
                                              const PresentedCertificate& shown,
                                              const std::vector<std::string>* trusted_issuers);
// May a certificate be issued that renews none which was shown? Its caller was judged by the registration entries of a
// moment ago, and one that is deleted must give nothing from then on: the entry that `record.origin` names, if it names
// one, is looked up again. PermissionDenied (ENTRY_GONE): it is gone, or gives another ID now.
absl::Status CheckFirstRight(const Inventory& inventory, const IssuanceRecord& record);
// The line (bytes) of a certificate that replaces another, `record.parent_serial`, while its caller proved itself anew
// by something else: a key that SDS made for a process. The right is the caller's of now; "" where it begins a line of
// its own. Unauthenticated (CERTIFICATE_REVOKED): the one replaced is revoked, so nothing follows it.
absl::StatusOr<std::string> JudgeReplacement(const Inventory& inventory, const IssuanceRecord& record);
// The bytes of the first serial number of the line that `record` belongs to; its parents are walked where it does not
// say.
absl::StatusOr<std::string> LineOf(const Inventory& inventory, RecordedCertificate record);
// PermissionDenied unless `record`, issued for record.presented, has the same SPIFFE ID.
absl::Status CheckSameId(const IssuanceRecord& record);
// The entry of the audit log for a renewal whose certificate is not on record.
AuditEntry UnrecordedRenewal(const IssuanceRecord& record);

// PermissionDenied (KEY_REVOKED): the request's key belongs to a certificate that was revoked.
absl::Status KeyIsRevoked(const Revocation& revocation);

// The bytes that `hex` (of either case) spells; nothing where it is no serial number of 1 to 20 bytes (RFC 5280
// §4.1.2.2).
std::optional<std::string> SerialBytes(absl::string_view hex);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RENEWAL_RULES_H_
