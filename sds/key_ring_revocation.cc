// What follows from a revocation: whose keys are dropped, and who hears of it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "sds/key_ring_impl.h"

namespace meshca::sds {
namespace {

// The reason that an SvidSource gives as well.
constexpr char kReason[] = "CERTIFICATE_REVOKED";

}  // namespace

bool IsRevocation(const absl::Status& status) { return ReasonOf(status) == kReason; }

absl::Status CertificateRevoked(const SpiffeId& id, absl::string_view serial) {
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat(
          "the certificate of ", id.uri(), " (serial ", serial, ") was revoked: `meshca cert show ", serial,
          "` tells the operator when and why. A new stream gets a new key if a registration entry still fits")),
      kReason);
}

bool KeyRing::Impl::IsRevoked(const std::string& serial) {
  const absl::StatusOr<bool> revoked = revocations_.source->IsRevoked(serial);
  if (revoked.ok()) return *revoked;
  LogWarning("SDS: whether a certificate was revoked cannot be said now; asked again soon",
             {{"serial", serial}, {"error", std::string(revoked.status().message())}});
  MutexLock lock(mutex_);
  judge_again_ = true;
  return false;
}

bool KeyRing::Impl::RevokedMeanwhile(const Attempt& attempt, const std::string& serial) {
  while (!attempt.key->dropped && std::exchange(attempt.key->unjudged, false)) {
    mutex_.Unlock();
    const bool revoked = IsRevoked(serial);
    if (revoked) Failed(attempt, CertificateRevoked(attempt.key->id, serial));
    mutex_.Lock();
    if (revoked) return true;
  }
  return false;
}

absl::Status KeyRing::Impl::ForHolder(const Attempt& attempt, const absl::Status& refusal) {
  // The renewal was refused before this ring heard of the revocation. Over mTLS the client's own certificate may be the
  // one that was revoked, of which the store's sentence speaks.
  const bool over_socket = attempt.owner->caller->peer->transport == rpc::Transport::kUnix;
  if (!IsRevocation(refusal) || !over_socket) return refusal;
  return CertificateRevoked(attempt.key->id, attempt.parent_serial);
}

KeyRing::Impl::Ends KeyRing::Impl::EndsOf(const std::vector<std::string>& instances) const {
  Ends ends;
  if (instances.empty()) return ends;
  for (const std::string& instance : instances) ends[instance] = absl::InfinitePast();
  for (const auto& [name, key] : keys_) {
    const auto found = ends.find(key->instance);
    if (found == ends.end() || key->current == nullptr) continue;
    found->second = std::max(found->second, key->current->identity().not_after);
  }
  return ends;
}

void KeyRing::Impl::TellEnds(const Ends& ends) const {
  if (!revocations_.dropped) return;
  for (const auto& [instance, until] : ends) revocations_.dropped(instance, until);
}

uint64_t KeyRing::Impl::DropRevoked() {
  if (revocations_.source == nullptr) return 0;
  std::vector<std::pair<HeldKeyPtr, std::string>> keys;
  {
    MutexLock lock(mutex_);
    judge_again_ = false;
    for (const auto& [name, key] : keys_) {
      if (key->state == HeldKey::kWorking) key->unjudged = true;
      if (key->current != nullptr) keys.emplace_back(key, key->current->identity().serial);
    }
  }
  std::erase_if(keys, [this](const auto& key) { return !IsRevoked(key.second); });

  std::vector<std::pair<Listeners, absl::Status>> told;
  Ends ends;
  {
    MutexLock lock(mutex_);
    std::vector<std::string> instances;
    for (const auto& [key, serial] : keys) {
      // One that came meanwhile was judged by Issued, or by the store after the revocation.
      if (key->dropped || key->current == nullptr || key->current->identity().serial != serial) continue;
      told.emplace_back(ListenersOf(*key), CertificateRevoked(key->id, serial));
      instances.push_back(key->instance);
      Drop(key);
    }
    ends = EndsOf(instances);
  }
  if (!told.empty()) {
    LogInfo("SDS: keys dropped, because their certificates were revoked", {{"keys", absl::StrCat(told.size())}});
  }
  for (const auto& [listeners, why] : told) {
    for (const auto& listener : listeners) (*listener)(why);
  }
  TellEnds(ends);
  return told.size();
}

}  // namespace meshca::sds
