#include "ca/authority/authority_ledger.h"

#include <string>
#include <utility>

#include "ca/authority/authority_rows.h"
#include "ca/base/fault_point.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {

AuthorityLedger::AuthorityLedger(TrustDomain trust_domain, AuthorityStore& store, KeyStore& keys)
    : trust_domain_(std::move(trust_domain)), store_(store), keys_(keys) {}

absl::Status AuthorityLedger::Reload() {
  MESHCA_ASSIGN_OR_RETURN(AuthoritiesAndBundle state, store_.LoadAuthorities());
  if (state.revision == state_.revision && !authorities_.empty()) return absl::OkStatus();
  std::vector<SigningAuthority> authorities;
  for (const StoredAuthority& row : state.authorities) {
    MESHCA_ASSIGN_OR_RETURN(SigningAuthority authority, ToAuthority(row));
    authorities.push_back(std::move(authority));
  }
  state_ = std::move(state);
  authorities_ = std::move(authorities);
  return absl::OkStatus();
}

// When reading back fails the change stands all the same, and the next round finds it.
absl::Status AuthorityLedger::Commit(const AuthorityChange& change) {
  const std::string& action = change.audit.front().action;
  const std::vector<StoredKey> keys_given_up = KeysGivenUp(state_, change);
  FaultPoint(action, ".before");
  MESHCA_RETURN_IF_ERROR(store_.CommitAuthorities(change).status());
  FaultPoint(action, ".after");
  for (const StoredKey& key : keys_given_up) {
    // No row refers to it any more, so nothing but its secrecy is at stake, and nothing here can try again later.
    if (const absl::Status destroyed = keys_.Destroy(key); !destroyed.ok()) {
      LogError("a private key that is no longer used could not be destroyed", {{"error", destroyed.ToString()}});
    }
  }
  for (const AuditEntry& entry : change.audit) {
    LogInfo(entry.action, {{"target", entry.target}, {"actor", entry.actor}, {"detail", entry.detail}});
  }
  return Reload();
}

absl::Status AuthorityLedger::Change(MakeChange make) {
  absl::Status status = absl::AbortedError("never tried");
  for (int attempt = 0; attempt < kAttemptsMax && absl::IsAborted(status); ++attempt) {
    MESHCA_RETURN_IF_ERROR(Reload());
    MESHCA_ASSIGN_OR_RETURN(const AuthorityChange change, make(state_));
    status = Commit(change);
  }
  return status;
}

}  // namespace meshca
