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
  if (!IsRevocation(refusal) || !attempt.key->shared) return refusal;
  return CertificateRevoked(attempt.key->id, attempt.parent_serial);
}

void KeyRing::Impl::AddInstances(const HeldKey& key, Ends& ends) {
  for (const auto& [ticket, holding] : key.holdings) ends[holding.holder->owner.instance] = absl::InfinitePast();
  for (const std::string& instance : key.departed) ends[instance] = absl::InfinitePast();
}

void KeyRing::Impl::FindEnds(Ends& ends) const {
  if (ends.empty()) return;
  const auto holds_until = [&ends](const std::string& instance, absl::Time not_after) {
    if (const auto found = ends.find(instance); found != ends.end()) found->second = std::max(found->second, not_after);
  };
  for (const auto& [name, key] : keys_) {
    if (key->current == nullptr) continue;
    const absl::Time not_after = key->current->identity().not_after;
    for (const auto& [ticket, holding] : key->holdings) {
      if (holding.served != 0) holds_until(holding.holder->owner.instance, not_after);
    }
    for (const std::string& instance : key->departed) holds_until(instance, not_after);
  }
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

  News news;
  Ends ends;
  uint64_t dropped = 0;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, serial] : keys) {
      // One that came meanwhile was judged by Issued, or by the store after the revocation.
      if (key->dropped || key->current == nullptr || key->current->identity().serial != serial) continue;
      AddNews(*key, CertificateRevoked(key->id, serial), news);
      AddInstances(*key, ends);
      Drop(key);
      ++dropped;
    }
    FindEnds(ends);
  }
  if (dropped > 0) {
    LogInfo("SDS: keys dropped, because their certificates were revoked", {{"keys", absl::StrCat(dropped)}});
  }
  Tell(news);
  TellEnds(ends);
  return dropped;
}

}  // namespace meshca::sds
