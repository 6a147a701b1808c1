#include "ca/authority/jwt_key_mending.h"

#include <string>

#include "ca/authority/jwt_key_change.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status CommitMendedJwtKeys(AuthorityLedger& ledger, const AuthorityMaker& maker, absl::Time now) {
  if (JwtKeysFault(ledger.state()).empty()) return absl::OkStatus();
  // Before the change, which may be computed several times.
  MESHCA_ASSIGN_OR_RETURN(const StoredJwtAuthority first, maker.MakeJwtKey(now));
  absl::Status status;
  for (int attempt = 0; attempt < AuthorityLedger::kAttemptsMax; ++attempt) {
    const std::string fault = JwtKeysFault(ledger.state());
    if (fault.empty()) return absl::OkStatus();
    MESHCA_ASSIGN_OR_RETURN(const AuthorityChange change,
                            MendJwtKeys(ledger.state(), ledger.trust_domain(), first, {kMeshcaItself, fault, now}));
    status = ledger.Commit(change);
    if (!absl::IsAborted(status)) break;
    MESHCA_RETURN_IF_ERROR(ledger.Reload());
  }
  return status;
}

}  // namespace meshca
