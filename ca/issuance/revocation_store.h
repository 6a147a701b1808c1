// Taking identities back: which certificates are revoked, and what that stops. storage/ implements it.
#ifndef MESHCA_CA_ISSUANCE_REVOCATION_STORE_H_
#define MESHCA_CA_ISSUANCE_REVOCATION_STORE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"
#include "ca/issuance/issuance_store.h"

namespace meshca {

// RFC 5280 §5.3.1, the reasons that fit a workload's certificate; the numbers are the RFC's, and are stored.
enum class RevocationReason {
  kUnspecified = 0,
  kKeyCompromise = 1,
  kAffiliationChanged = 3,
  kSuperseded = 4,
  kCessationOfOperation = 5,
  kPrivilegeWithdrawn = 9,
};

// "unspecified", "keyCompromise", "affiliationChanged", ...: the RFC's names.
absl::string_view RevocationReasonName(RevocationReason reason);
// Any case. InvalidArgument, which lists the names.
absl::StatusOr<RevocationReason> ParseRevocationReason(absl::string_view name);

// Which certificates: exactly one field is given.
struct RevocationSelection {
  std::string serial;               // hex
  std::string spiffe_id_glob;       // `*` any run, `?` one byte
  std::string authority_id_prefix;  // signed by the authority whose id begins so
  std::string node;
  std::string entry_id;  // whose right comes from this registration entry
};

struct RevocationResult {
  uint64_t certificates = 0;  // live ones that are revoked now and were not before
  uint64_t lines = 0;         // lines of renewals that end with them
};

// Thread-safe. Calls block on the database.
class RevocationStore {
 public:
  virtual ~RevocationStore() = default;

  // Revokes every certificate of `selection` that lives at `audit.time`, and with each its *line* (whatever it was
  // renewed from or into) and its key: neither gets anything more, from the commit on. Durable when it returns Ok; the
  // audit entry names how many. With `dry_run` nothing is written. `visit` is called for each certificate concerned,
  // until it returns false (which stops the calls, not the revocation).
  // Errors: NotFound (the selection fits no live certificate that is not revoked yet), InvalidArgument (no or several
  // fields), Unavailable.
  virtual absl::StatusOr<RevocationResult> Revoke(const RevocationSelection& selection, RevocationReason reason,
                                                  bool dry_run, const AuditEntry& audit,
                                                  absl::FunctionRef<bool(const IssuanceRecord&)> visit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_REVOCATION_STORE_H_
