// On the executor's thread: takes what is due, asks who may have it, makes keys, asks for certificates, assembles.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
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
    if (!key->holders.empty() && key->current != nullptr && key->state == HeldKey::kIdle) Retime(key);
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
    attempts.push_back({key, key->owner, std::move(parent_serial), /*check_only=*/false, recheck});
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

void KeyRing::Impl::Begin(Attempt attempt) {
  // The first certificate comes right after the caller was authenticated; each later one asks again. A client
  // certificate is judged anew for the first one too: its stream may have stood while trust was taken away.
  if (attempt.parent_serial.empty() && !attempt.recheck && !attempt.owner->caller->identity.presented.has_value()) {
    CallerIdentity caller = attempt.owner->caller->identity;
    return Submit(std::move(attempt), std::move(caller));
  }
  const std::shared_ptr<const Owner> owner = attempt.owner;
  authenticate_(*owner->caller->peer,
                [this, attempt = std::move(attempt)](absl::StatusOr<CallerIdentity> caller) mutable {
                  executor_.Run([this, attempt = std::move(attempt), caller = std::move(caller)]() mutable {
                    Judged(std::move(attempt), std::move(caller));
                  });
                });
}

void KeyRing::Impl::Judged(Attempt attempt, absl::StatusOr<CallerIdentity> caller) {
  if (!caller.ok()) return Failed(attempt, caller.status());
  const SdsCaller judged{*caller, attempt.owner->caller->peer, attempt.owner->caller->lineage,
                         attempt.owner->caller->line};
  if (!judged.MayReceiveKeyOf(attempt.key->id)) {
    return Failed(
        attempt, WithReason(absl::PermissionDeniedError(absl::StrCat("the caller (", caller->subject, ") may not hold ",
                                                                     attempt.key->id.uri(), " any more")),
                            "SPIFFE_ID_NOT_ALLOWED"));
  }
  if (attempt.check_only) {
    MutexLock lock(mutex_);
    CountEnd();
    return;
  }
  Submit(std::move(attempt), *std::move(caller));
}

void KeyRing::Impl::Submit(Attempt attempt, CallerIdentity caller) {
  absl::StatusOr<std::unique_ptr<SoftwareKey>> key = SoftwareKey::Generate(options_.key_type);
  if (!key.ok()) return Failed(attempt, key.status());
  SvidRequest request;
  request.id = attempt.key->id;
  request.caller = std::move(caller);
  request.caller.instance = attempt.owner->instance;
  request.caller.node = attempt.owner->node;
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
  Listeners listeners;
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
    key->renew_at = now + renew_in;
    key->renew_due = clock_.SinceBoot() + renew_in;
    key->failures = 0;
    key->reissue = again == HeldKey::kIfSameAuthority && at_once && !key->holders.empty();
    if (!key->holders.empty()) {
      if (at_once) {
        schedule_.Wait(key, /*urgent=*/!key->reissue);
      } else {
        schedule_.SetTimer(key, key->renew_due);
      }
    }
    if (!from_ahead) listeners = ListenersOf(*key);
    recheck = std::exchange(key->recheck, false);
    if (recheck) ++in_flight_;
  }
  for (const auto& listener : listeners) (*listener)(content);
  if (recheck) Begin({key, attempt.owner, content->identity().serial, /*check_only=*/true});
}

void KeyRing::Impl::CountEnd() {
  if (--in_flight_ == 0) idle_.NotifyAll();
}

void KeyRing::Impl::JudgeAgain() {
  {
    MutexLock lock(mutex_);
    if (!judge_again_) return;
  }
  DropRevoked();
}

void KeyRing::Impl::Failed(const Attempt& attempt, const absl::Status& why) {
  const HeldKeyPtr& key = attempt.key;
  const absl::Time now = clock_.LikelyNow();
  Listeners listeners;
  Ends ends;
  {
    MutexLock lock(mutex_);
    CountEnd();
    if (!attempt.check_only) ++stats_.failed;
    if (key->dropped) return;
    if (attempt.check_only && !IsFinalRefusal(why)) return;  // the judge is away: the next renewal asks again
    if (IsFinalRefusal(why)) {
      listeners = ListenersOf(*key);
      Drop(key);
      if (IsRevocation(why)) ends = EndsOf({key->instance});
    } else {
      key->state = HeldKey::kIdle;
      key->again = HeldKey::kNo;
      ++key->failures;
      if (key->current == nullptr || key->current->ExpiredAt(now)) listeners = ListenersOf(*key);
      if (key->holders.empty() && key->current == nullptr) {
        Drop(key);
      } else if (!key->holders.empty()) {
        schedule_.SetTimer(key, clock_.SinceBoot() + RetryDelay(*key, now));
      }
    }
  }
  LogWarning(attempt.check_only ? "SDS: identity withdrawn" : "SDS: no new certificate",
             {{"spiffe_id", key->id.uri()},
              {"instance", key->instance},
              {"code", std::string(CodeName(why.code()))},
              {"error", std::string(why.message())}});
  for (const auto& listener : listeners) (*listener)(why);
  TellEnds(ends);
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
