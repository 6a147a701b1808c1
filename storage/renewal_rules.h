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
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"
#include "ca/issuance/issuance_store.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca::storage {

// That something is revoked: since when, and why (the number of a RevocationReason).
struct Revocation {
  absl::Time at;
  int reason = 0;
};

// What a store knows of one certificate it issued, as far as its renewal depends on it.
struct RecordedCertificate {
  int64_t number = 0;  // grows with each issuance: a certificate's is above that of the one it renews
  std::string serial;  // bytes, like `parent` and `line`
  std::string spiffe_id;
  std::string certificate_sha256;
  AuthMethod method = AuthMethod::kJoinToken;
  std::string caller;
  std::string token_id;
  std::string parent;         // "": renews none
  std::string line;           // the first of its renewals; "": itself, or a version wrote it that kept no lines
  Origin origin;              // kUnknown: see InheritedRight
  int64_t origin_number = 0;  // by which the store refers to `origin`; 0 where it does not
  absl::Time issued_at = absl::InfinitePast();
  // Its serial number, its `line` or its key is revoked.
  std::optional<Revocation> revocation;
};

// The questions that the rules ask a store, all of them within one transaction.
class Inventory {
 public:
  virtual ~Inventory() = default;
  virtual absl::StatusOr<std::optional<RecordedCertificate>> FindRecorded(absl::string_view serial) = 0;
  virtual absl::StatusOr<std::optional<Revocation>> FindRevokedLine(absl::string_view line) = 0;
  // Is there a registration entry with this id, or with any id where it is "", that gives `spiffe_id`? DataLoss: its
  // MAC does not fit.
  // One that was made or replaced after `issued_at` is another one, whatever its id: what it gives, it gives to whom it
  // names. Not asked where the id is "".
  virtual absl::StatusOr<bool> HasEntry(const std::string& id, const SpiffeId& spiffe_id, absl::Time issued_at) = 0;
  // Every authority, retired ones included.
  virtual absl::StatusOr<std::vector<StoredAuthority>> Authorities() = 0;
};

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
absl::StatusOr<InheritedRight> JudgeRenewal(Inventory& inventory, const PresentedCertificate& shown,
                                            const std::vector<std::string>* trusted_issuers);
// May a certificate be issued that renews none which was shown? Its caller was judged by the registration entries of a
// moment ago, and one that is deleted must give nothing from then on: the entry that `record.origin` names, if it names
// one, is looked up again. PermissionDenied (ENTRY_GONE): it is gone, or gives another ID now.
absl::Status CheckFirstRight(Inventory& inventory, const IssuanceRecord& record);
// The line (bytes) of a certificate that replaces another, `record.parent_serial`, while its caller proved itself anew
// by something else: a key that SDS made for a process. The right is the caller's of now; "" where it begins a line of
// its own. Unauthenticated (CERTIFICATE_REVOKED): the one replaced is revoked, so nothing follows it.
absl::StatusOr<std::string> JudgeReplacement(Inventory& inventory, const IssuanceRecord& record);
// The bytes of the first serial number of the line that `record` belongs to; its parents are walked where it does not
// say.
absl::StatusOr<std::string> LineOf(Inventory& inventory, RecordedCertificate record);
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
