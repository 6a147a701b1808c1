#include "ca/service/certificate_standing.h"

#include <utility>

#include "absl/status/statusor.h"
#include "ca/authority/trust_withdrawal.h"
#include "ca/identity/caller_identity.h"

namespace meshca {

std::shared_ptr<SvidVerifier> FollowBundle(AuthoritySnapshots& authorities) {
  auto verifier = std::make_shared<SvidVerifier>();
  const auto follow = [verifier](const std::shared_ptr<const AuthoritySnapshot>& snapshot) {
    if (snapshot == nullptr || snapshot->bundle == nullptr) return;
    verifier->Trust(snapshot->bundle->trust_domain, snapshot->bundle->roots);
  };
  authorities.AddListener(follow);
  follow(authorities.Current());
  return verifier;
}

absl::Status CertificateStanding::Judge(const VerifiedPeer& peer, absl::Time now) {
  const absl::StatusOr<CallerIdentity> caller = authenticator_.Judge(peer, now);
  if (!caller.ok()) return caller.status();
  return issuances_.JudgePresented(*caller->presented, caller->trusted_origins).status();
}

void CertificateStanding::Watch(Listener listener) {
  {
    MutexLock lock(mutex_);
    listener_ = std::move(listener);
  }
  authorities_.AddListener(
      [this](const std::shared_ptr<const AuthoritySnapshot>& snapshot) { OnAuthorities(snapshot); });
  OnAuthorities(authorities_.Current());
}

void CertificateStanding::OnAuthorities(const std::shared_ptr<const AuthoritySnapshot>& snapshot) {
  if (snapshot == nullptr) return;
  MutexLock lock(mutex_);
  // Told twice of one change at the start, in either order.
  if (seen_ != nullptr && snapshot->revision < seen_->revision) return;
  Change change;
  change.taken_away = seen_ != nullptr && TakesTrustAway(*seen_, *snapshot);
  if (snapshot->unrecorded.has_value()) change.worsens_at = snapshot->unrecorded->until;
  seen_ = snapshot;
  listener_(change);
}

}  // namespace meshca
