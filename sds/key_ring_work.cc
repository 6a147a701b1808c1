// On the executor's thread: takes what is due, makes keys, asks for certificates, assembles.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/subscribers/evidence_source.h"
#include "ca/x509/signing_key.h"
#include "sds/key_ring_impl.h"
#include "sds/svid_source.h"

namespace meshca::sds {
bool KeyRing::Impl::IsFromAhead(const SecretContent& content) const {
  const std::optional<absl::Time> now = clock_.BelievedNow();
  return now.has_value() && content.BeginsAfter(*now);
}

void KeyRing::Impl::FollowClock() {
  const bool believed = clock_.BelievedNow().has_value();
  const bool again = believed && !believed_;
  believed_ = believed;
  if (!setting_.Changed() && !again) return;
  for (const auto& [name, key] : keys_) {
    if (!key->holdings.empty() && key->current != nullptr && key->state == HeldKey::kIdle) Retime(key);
  }
}

// What was made while the clock was ahead waits for nothing.
void KeyRing::Impl::Retime(const HeldKeyPtr& key) {
  const absl::Duration boot = clock_.SinceBoot();
  key->renew_due = boot + (key->renew_at - clock_.Now());
  if (IsFromAhead(*key->current)) return schedule_.Wait(key, /*urgent=*/true);
  // What failed did so because nothing was signed by a wrong clock, most likely. A reissue keeps its place.
  const bool keeps_its_place = key->reissue && key->failures == 0;
  if (!keeps_its_place) schedule_.SetTimer(key, key->failures > 0 ? boot : key->renew_due);
}

// What is due: renewals, keys nobody came back for, and as many of those waiting as may be under way.
std::vector<KeyRing::Impl::Attempt> KeyRing::Impl::TakeDue() {
  const absl::Duration boot = clock_.SinceBoot();
  FollowClock();
  if (clock_.MayMake()) schedule_.TakeTimers(boot);
  while (const HeldKeyPtr key = schedule_.EndOfLingering(boot, options_.lingering_max)) Drop(key);
  std::vector<Attempt> attempts;
  while (in_flight_ < options_.in_flight_max) {
    HeldKeyPtr key = schedule_.TakeWaiting();
    if (key == nullptr) break;
    ++in_flight_;
    std::string parent_serial = key->current == nullptr ? "" : key->current->identity().serial;
    key->unjudged = false;
    const bool recheck = std::exchange(key->recheck, false);
    attempts.push_back({key, std::move(parent_serial), /*check_only=*/false, recheck, {}, nullptr});
  }
  return attempts;
}

absl::Duration KeyRing::Impl::BeginDue() {
  std::vector<Attempt> attempts;
  absl::Duration wait;
  {
    MutexLock lock(mutex_);
    if (stopping_) return absl::InfiniteDuration();
    attempts = TakeDue();
    wait = schedule_.next() - clock_.SinceBoot();
  }
  for (Attempt& attempt : attempts) Begin(std::move(attempt));
  // A timer that is due and was not taken waits for the clock, which is looked at often enough.
  return wait > absl::ZeroDuration() ? wait : absl::InfiniteDuration();
}

void KeyRing::Impl::Submit(Attempt attempt, CallerIdentity caller) {
  absl::StatusOr<std::unique_ptr<SoftwareKey>> key = SoftwareKey::Generate(options_.key_type);
  if (!key.ok()) return Failed(attempt, key.status());
  SvidRequest request;
  request.id = attempt.key->id;
  request.caller = std::move(caller);
  // A shared key is no instance's: whoever holds it is judged by what the registry knows of it (EvidenceSource). Nor is
  // it a node's: what the first holder calls its node is a word that nobody proved, and revoking that node's
  // certificates would take the key from all who share it.
  request.caller.instance = attempt.key->shared ? std::string(kSharedKeyInstance) : attempt.holder->owner.instance;
  request.caller.node = attempt.key->shared ? "" : attempt.holder->owner.node;
  if (!attempt.parent_serial.empty()) request.caller.parent_serial = attempt.parent_serial;
  const SoftwareKey& made = **key;
  svids_.Obtain(std::move(request), made,
                [this, attempt = std::move(attempt), key_pem = made.ToPkcs8Pem()](absl::StatusOr<Svid> svid) mutable {
                  // On the thread of whoever signed, most often the store's writer, which has better things to do.
                  executor_.Run([this, attempt = std::move(attempt), key_pem = std::move(key_pem),
                                 svid = std::move(svid)]() mutable { Issued(attempt, key_pem, std::move(svid)); });
                });
}

void KeyRing::Impl::Issued(const Attempt& attempt, const SecretBytes& key_pem, absl::StatusOr<Svid> svid) {
  if (!svid.ok()) return Failed(attempt, ForHolder(attempt, svid.status()));
  const std::string chain = svid->ChainPem();
  const absl::Time now = clock_.Now();
  // Half-life, spread so that a fleet that started together does not renew together.
  const absl::Duration life = svid->validity.not_after - now;
  const absl::Duration renew_in =
      UniformDuration(entropy_, life * (0.9 * options_.renew_at), life * (1.1 * options_.renew_at));

  SecretContent::Identity identity{
      attempt.key->id,          std::move(svid->serial), std::move(svid->authority_id), svid->validity.not_after, 0,
      svid->validity.not_before};
  const HeldKeyPtr& key = attempt.key;
  News news;
  SecretContent::Ptr content;
  bool recheck = false;
  {
    MutexLock lock(mutex_);
    if (RevokedMeanwhile(attempt, identity.serial)) return;
    identity.generation = ++generation_;
    content = SecretContent::OfIdentity(std::move(identity), key_pem, chain);
    CountEnd();
    ++(attempt.parent_serial.empty() ? stats_.issued : stats_.renewed);
    if (key->dropped) return;
    const auto again = std::exchange(key->again, HeldKey::kNo);
    // Signed before the clock was set back, answered afterwards.
    const bool from_ahead = IsFromAhead(*content);
    const bool at_once = from_ahead || again == HeldKey::kYes ||
                         (again == HeldKey::kIfSameAuthority && key->current != nullptr &&
                          key->current->identity().authority_id == content->identity().authority_id);
    key->state = HeldKey::kIdle;
    key->current = content;
    key->departed.clear();  // they hold the one before
    key->renew_at = now + renew_in;
    key->renew_due = clock_.SinceBoot() + renew_in;
    key->failures = 0;
    key->reissue = again == HeldKey::kIfSameAuthority && at_once && !key->holdings.empty();
    if (!key->holdings.empty()) {
      if (at_once) {
        schedule_.Wait(key, /*urgent=*/!key->reissue);
      } else {
        schedule_.SetTimer(key, key->renew_due);
      }
    }
    if (!from_ahead) AddNews(*key, content, news);
    recheck = std::exchange(key->recheck, false);
    if (recheck) ++in_flight_;
  }
  Tell(news);
  if (recheck) Begin({key, content->identity().serial, /*check_only=*/true});
}

void KeyRing::Impl::CountEnd() {
  if (--in_flight_ == 0) idle_.NotifyAll();
}

void KeyRing::Impl::Failed(const Attempt& attempt, const absl::Status& why) {
  const HeldKeyPtr& key = attempt.key;
  const absl::Time now = clock_.LikelyNow();
  News news;
  Ends ends;
  {
    MutexLock lock(mutex_);
    CountEnd();
    ++stats_.failed;
    if (key->dropped) return;
    key->again = HeldKey::kNo;
    if (IsFinalRefusal(why)) {
      TakeRefusal(attempt, why, news, ends);
    } else {
      key->state = HeldKey::kIdle;
      key->recheck |= attempt.recheck;
      ++key->failures;
      if (key->current == nullptr || key->current->ExpiredAt(now)) AddNews(*key, why, news);
      if (key->holdings.empty() && key->current == nullptr) {
        Drop(key);
      } else if (!key->holdings.empty()) {
        schedule_.SetTimer(key, clock_.SinceBoot() + RetryDelay(*key, now));
      }
    }
  }
  LogWarning("SDS: no new certificate", {{"spiffe_id", key->id.uri()},
                                         {"instance", attempt.holder == nullptr ? "" : attempt.holder->owner.instance},
                                         {"code", std::string(CodeName(why.code()))},
                                         {"error", std::string(why.message())}});
  Tell(news);
  TellEnds(ends);
}

void KeyRing::Impl::TakeRefusal(const Attempt& attempt, const absl::Status& why, News& news, Ends& ends) {
  const HeldKeyPtr& key = attempt.key;
  if (!key->shared || IsRevocation(why)) {
    AddNews(*key, why, news);
    if (IsRevocation(why)) AddInstances(*key, ends);
    Drop(key);
    return FindEnds(ends);
  }
  // What was refused to one is refused to all who have the same right by the same name, and not to the others.
  const std::string& subject = attempt.holder->owner.caller->identity.subject;
  for (auto at = key->holdings.begin(); at != key->holdings.end();) {
    if (at->second.holder->owner.caller->identity.subject != subject) {
      ++at;
      continue;
    }
    news.emplace_back(at->second.holder, why);
    held_by_.erase(at->first);
    at = key->holdings.erase(at);
  }
  if (key->holdings.empty()) return Drop(key);
  key->state = HeldKey::kIdle;
  key->recheck = true;
  schedule_.Wait(key, /*urgent=*/true);
  executor_.Nudge();
}

absl::Duration KeyRing::Impl::RetryDelay(const HeldKey& key, absl::Time now) const {
  absl::Duration delay = options_.retry_first;
  for (uint32_t i = 1; i < key.failures && delay < options_.retry_max; ++i) delay *= 2;
  delay = std::min(delay, options_.retry_max);
  // The nearer the end, the more often: a certificate is not lost between two attempts.
  if (key.current != nullptr && !key.current->ExpiredAt(now)) {
    delay = std::min(delay, (key.current->identity().not_after - now) / 8);
  }
  delay = std::max(delay, absl::Milliseconds(200));
  return UniformDuration(entropy_, delay / 2, delay);
}

}  // namespace meshca::sds
