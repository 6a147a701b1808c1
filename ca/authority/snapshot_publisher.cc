#include "ca/authority/snapshot_publisher.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca {
namespace {

// Whether a snapshot of `state` would say and sign what `before` does.
bool IsSame(const AuthoritySnapshot& before, const AuthoritiesAndBundle& state, const Signers& signers) {
  if (before.revision != state.revision || (before.issuing != nullptr) != (signers.key != nullptr)) return false;
  if (before.jwt_signer == nullptr) return signers.jwt == nullptr && before.why_no_jwt == signers.why_no_jwt;
  return before.jwt_signer == signers.jwt;
}

}  // namespace

SnapshotPublisher::SnapshotPublisher(TrustDomain trust_domain) : trust_domain_(std::move(trust_domain)) {}

std::shared_ptr<const AuthoritySnapshot> SnapshotPublisher::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

void SnapshotPublisher::AddListener(Listener listener) {
  MutexLock lock(mutex_);
  listeners_.push_back(std::move(listener));
}

std::string SnapshotPublisher::WhyNotSigning() const {
  MutexLock lock(mutex_);
  return why_not_signing_;
}

absl::Status SnapshotPublisher::Publish(const AuthoritiesAndBundle& state, const Signers& signers,
                                        std::optional<UnrecordedGrace> grace) {
  const std::shared_ptr<const AuthoritySnapshot> before = Current();
  {
    // Before the snapshot that it explains: whoever finds that nothing signs asks why.
    MutexLock lock(mutex_);
    why_not_signing_ = signers.why_not;
  }
  if (before != nullptr && IsSame(*before, state, signers) && before->unrecorded == grace) return absl::OkStatus();
  auto snapshot = BuildSnapshot(trust_domain_, state, signers, std::move(grace));
  if (!snapshot.ok()) return snapshot.status();
  if (before != nullptr) {
    MESHCA_RETURN_IF_ERROR(CheckFollows(*before->bundle, *(*snapshot)->bundle));
  }
  std::vector<Listener> listeners;
  {
    MutexLock lock(mutex_);
    current_ = *snapshot;
    listeners = listeners_;
  }
  for (const Listener& listener : listeners) listener(*snapshot);
  return absl::OkStatus();
}

}  // namespace meshca
