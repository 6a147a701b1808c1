#include "sds/key_ring.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/x509/signing_key.h"

namespace meshca::sds {
namespace {

// A jump of the wall clock or a suspend goes unseen at most this long.
constexpr absl::Duration kTick = absl::Seconds(5);

// Waiting will not mend these: the caller may not have the identity, or the profile forbids what we ask for it.
bool IsFinal(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) || absl::IsInvalidArgument(status);
}

// The key of one identity of one instance. Its members are guarded by Impl::mutex_, apart from the first two.
struct Key {
  Key(std::string instance_name, SpiffeId spiffe_id) : instance(std::move(instance_name)), id(std::move(spiffe_id)) {}
  const std::string instance;
  const SpiffeId id;

  std::shared_ptr<const KeyRing::Owner> owner;  // who held it last
  SecretContent::Ptr current;
  absl::Time renew_at = absl::InfiniteFuture();
  enum { kIdle, kWaiting, kWorking } state = kIdle;
  // Asked for while one was under way: to be made again, or only if that comes from the same authority as the one
  // before.
  enum { kNo, kIfSameAuthority, kYes } again = kNo;
  bool reissue = false;  // scheduled by Reissue, and not yet replaced
  bool dropped = false;  // no longer in the map
  uint32_t failures = 0;
  std::vector<std::pair<uint64_t, std::shared_ptr<const KeyRing::Listener>>> holders;

  absl::Time timer = absl::InfiniteFuture();     // its place in timers_
  absl::Time lingers = absl::InfiniteFuture();   // its place in lingering_
  std::tuple<int, absl::Time, uint64_t> rank{};  // its place in waiting_
};
using KeyPtr = std::shared_ptr<Key>;

std::string MapKey(absl::string_view instance, const SpiffeId& id) { return absl::StrCat(instance, "\n", id.uri()); }

struct Attempt {
  KeyPtr key;
  std::shared_ptr<const KeyRing::Owner> owner;
  std::string parent_serial;  // "": no certificate yet
  bool check_only = false;
};

}  // namespace

class KeyRing::Impl {
 public:
  Impl(KeyRingOptions options, Issue issue, Authenticate authenticate, const Clock& clock, EntropySource& entropy)
      : options_(options),
        issue_(std::move(issue)),
        authenticate_(std::move(authenticate)),
        clock_(clock),
        entropy_(entropy) {}

  void Start() {
    thread_ = std::thread([this] { Work(); });
  }
  void OnTick(std::function<void(absl::Time)> tick) { tick_ = std::move(tick); }

  std::pair<KeyPtr, uint64_t> Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current);
  void Release(const KeyPtr& key, uint64_t ticket);
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen);
  Progress Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second);
  void Recheck();
  void Wake();
  void Run(absl::AnyInvocable<void() &&> work);
  KeyRingStats Stats() const;
  void Shutdown();

 private:
  using Listeners = std::vector<std::shared_ptr<const Listener>>;

  void Work();
  std::vector<Attempt> TakeDue(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Begin(Attempt attempt);
  void Submit(Attempt attempt, CallerIdentity caller);
  void Judged(Attempt attempt, absl::StatusOr<CallerIdentity> caller);
  void Issued(const Attempt& attempt, const SecretBytes& key_pem, absl::StatusOr<IssuedCertificate> issued);
  void Failed(const Attempt& attempt, const absl::Status& why);

  // Since `since` or now, whichever is later; nothing later than the key would have been renewed.
  void Schedule(std::vector<KeyPtr> stale, absl::Time since, absl::Duration apart)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `urgent`: before those that are not, if there is a certificate that will end.
  void Wait(const KeyPtr& key, bool urgent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StopWaiting(Key& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetTimer(const KeyPtr& key, absl::Time when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetLingering(const KeyPtr& key, absl::Time until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const KeyPtr& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RetryDelay(const Key& key, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static Listeners ListenersOf(const Key& key);

  const KeyRingOptions options_;
  const Issue issue_;
  const Authenticate authenticate_;
  const Clock& clock_;
  EntropySource& entropy_;
  std::function<void(absl::Time)> tick_;
  std::thread thread_;

  mutable Mutex mutex_;
  CondVar changed_;
  absl::flat_hash_map<std::string, KeyPtr> keys_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<absl::Time, KeyPtr>> timers_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<absl::Time, KeyPtr>> lingering_ ABSL_GUARDED_BY(mutex_);
  // Renewals that are due first, those of certificates that end first at the front; then first certificates and
  // reissues in order.
  std::set<std::pair<std::tuple<int, absl::Time, uint64_t>, KeyPtr>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void() &&>> work_ ABSL_GUARDED_BY(mutex_);
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_reissue_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // when its slot was
  KeyRingStats stats_ ABSL_GUARDED_BY(mutex_);
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

void KeyRing::Impl::Wait(const KeyPtr& key, bool urgent) {
  MESHCA_CHECK(key->state == Key::kIdle);
  SetTimer(key, absl::InfiniteFuture());
  key->state = Key::kWaiting;
  key->rank = urgent && key->current != nullptr ? std::make_tuple(0, key->current->identity().not_after, next_ticket_++)
                                                : std::make_tuple(1, absl::InfinitePast(), next_ticket_++);
  waiting_.emplace(key->rank, key);
}

void KeyRing::Impl::StopWaiting(Key& key) {
  if (key.state != Key::kWaiting) return;
  const auto first = waiting_.lower_bound({key.rank, nullptr});
  waiting_.erase(first);
  key.state = Key::kIdle;
}

void KeyRing::Impl::SetTimer(const KeyPtr& key, absl::Time when) {
  if (key->timer == when) return;
  if (key->timer != absl::InfiniteFuture()) timers_.erase({key->timer, key});
  key->timer = when;
  if (when != absl::InfiniteFuture()) timers_.emplace(when, key);
}

void KeyRing::Impl::SetLingering(const KeyPtr& key, absl::Time until) {
  if (key->lingers != absl::InfiniteFuture()) lingering_.erase({key->lingers, key});
  key->lingers = until;
  if (until != absl::InfiniteFuture()) lingering_.emplace(until, key);
}

void KeyRing::Impl::Drop(const KeyPtr& key) {
  SetTimer(key, absl::InfiniteFuture());
  SetLingering(key, absl::InfiniteFuture());
  StopWaiting(*key);
  key->dropped = true;
  key->current = nullptr;
  keys_.erase(MapKey(key->instance, key->id));
}

KeyRing::Impl::Listeners KeyRing::Impl::ListenersOf(const Key& key) {
  Listeners listeners;
  for (const auto& [ticket, listener] : key.holders) listeners.push_back(listener);
  return listeners;
}

std::pair<KeyPtr, uint64_t> KeyRing::Impl::Hold(Owner owner, const SpiffeId& id, Listener listener,
                                                SecretContent::Ptr* current) {
  auto shared_listener = std::make_shared<const Listener>(std::move(listener));
  auto shared_owner = std::make_shared<const Owner>(std::move(owner));
  const absl::Time now = clock_.Now();
  MutexLock lock(mutex_);
  KeyPtr& slot = keys_[MapKey(shared_owner->instance, id)];
  if (slot == nullptr) slot = std::make_shared<Key>(shared_owner->instance, id);
  const KeyPtr key = slot;
  key->owner = std::move(shared_owner);
  const uint64_t ticket = next_ticket_++;
  key->holders.emplace_back(ticket, std::move(shared_listener));
  SetLingering(key, absl::InfiniteFuture());

  const bool valid = key->current != nullptr && !key->current->ExpiredAt(now);
  *current = valid ? key->current : nullptr;
  if (key->state == Key::kIdle) {
    if (!valid) {
      Wait(key, /*urgent=*/true);
    } else if (key->timer == absl::InfiniteFuture()) {
      SetTimer(key, key->renew_at);
    }
    changed_.NotifyOne();
  }
  return {key, ticket};
}

void KeyRing::Impl::Release(const KeyPtr& key, uint64_t ticket) {
  const absl::Time now = clock_.Now();
  MutexLock lock(mutex_);
  std::erase_if(key->holders, [ticket](const auto& holder) { return holder.first == ticket; });
  if (!key->holders.empty() || key->dropped) return;
  key->reissue = false;
  SetTimer(key, absl::InfiniteFuture());
  StopWaiting(*key);
  if (key->state == Key::kIdle && (key->current == nullptr || key->current->ExpiredAt(now))) return Drop(key);
  SetLingering(key, now + options_.linger);
  while (lingering_.size() > options_.lingering_max) Drop(KeyPtr(lingering_.begin()->second));
}

std::vector<SpiffeId> KeyRing::Impl::Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen) {
  std::vector<SpiffeId> renewed;
  MutexLock lock(mutex_);
  for (const auto& [name, key] : keys_) {
    if (key->holders.empty() || key->current == nullptr) continue;
    if (!chosen(key->id, key->current->identity().serial)) continue;
    renewed.push_back(key->id);
    if (key->state == Key::kWorking) {
      key->again = Key::kYes;
    } else {
      StopWaiting(*key);  // a reissue may wait behind others
      Wait(key, /*urgent=*/true);
    }
  }
  changed_.NotifyOne();
  return renewed;
}

KeyReissuer::Progress KeyRing::Impl::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) {
  MESHCA_CHECK(per_second > 0);
  const absl::Time now = clock_.Now();
  const absl::Duration apart = absl::Seconds(1) / per_second;
  Progress progress;
  std::vector<KeyPtr> fresh, unheld;
  MutexLock lock(mutex_);
  // A clock that was set back leaves no gap.
  absl::Time since = last_reissue_ > now ? now : std::max(now, last_reissue_ + apart);
  for (const auto& [name, key] : keys_) {
    if (key->current == nullptr || !stale(key->current->identity().authority_id)) continue;
    if (key->holders.empty()) {
      if (key->state == Key::kIdle) unheld.push_back(key);
      continue;
    }
    ++progress.left;
    if (key->state == Key::kWorking) {
      // One of ours, or one that was begun before anybody knew.
      if (!key->reissue && key->again == Key::kNo) key->again = Key::kIfSameAuthority;
    } else if (key->reissue) {
      if (key->failures == 0 && key->state == Key::kIdle) since = std::max(since, key->timer + apart);
    } else if (key->state == Key::kIdle) {
      fresh.push_back(key);
    }
  }
  for (const KeyPtr& key : unheld) Drop(key);
  Schedule(std::move(fresh), since, apart);
  return progress;
}

void KeyRing::Impl::Schedule(std::vector<KeyPtr> stale, absl::Time since, absl::Duration apart) {
  if (stale.empty()) return;
  std::sort(stale.begin(), stale.end(), [](const KeyPtr& a, const KeyPtr& b) {
    return a->current->identity().not_after < b->current->identity().not_after;
  });
  for (const KeyPtr& key : stale) {
    key->reissue = true;
    if (key->failures > 0) continue;  // its next attempt is near
    SetTimer(key, std::min(since, key->renew_at));
    since += apart;
  }
  changed_.NotifyOne();
}

void KeyRing::Impl::Recheck() {
  std::vector<Attempt> checks;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    for (const auto& [name, key] : keys_) {
      if (key->current == nullptr) continue;
      checks.push_back({key, key->owner, key->current->identity().serial, /*check_only=*/true});
      ++in_flight_;
    }
  }
  for (Attempt& check : checks) Begin(std::move(check));
}

void KeyRing::Impl::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyOne();
}

void KeyRing::Impl::Run(absl::AnyInvocable<void() &&> work) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      work_.push_back(std::move(work));
      changed_.NotifyOne();
      return;
    }
  }
  std::move(work)();
}

KeyRingStats KeyRing::Impl::Stats() const {
  MutexLock lock(mutex_);
  KeyRingStats stats = stats_;
  stats.keys = keys_.size();
  stats.waiting = waiting_.size();
  stats.in_flight = in_flight_;
  return stats;
}

void KeyRing::Impl::Shutdown() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
  // Who still waits is told, and let go: a listener may own a Lease of this ring.
  Listeners left;
  decltype(Key::holders) holders;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    for (const auto& [name, key] : keys_) {
      if (key->current == nullptr) {
        for (const auto& listener : ListenersOf(*key)) left.push_back(listener);
      }
      std::move(key->holders.begin(), key->holders.end(), std::back_inserter(holders));
      key->holders.clear();
    }
  }
  for (const auto& listener : left) (*listener)(absl::UnavailableError("SDS: the server is shutting down"));
}

// What is due at `now`: renewals, keys nobody came back for, and as many of those waiting as may be under way.
std::vector<Attempt> KeyRing::Impl::TakeDue(absl::Time now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const KeyPtr key = timers_.begin()->second;
    if (key->reissue && key->failures == 0) last_reissue_ = key->timer;
    Wait(key, /*urgent=*/!key->reissue || key->renew_at <= now);
  }
  while (!lingering_.empty() && lingering_.begin()->first <= now) Drop(KeyPtr(lingering_.begin()->second));
  std::vector<Attempt> attempts;
  while (in_flight_ < options_.in_flight_max && !waiting_.empty()) {
    const KeyPtr key = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    key->state = Key::kWorking;
    ++in_flight_;
    attempts.push_back({key, key->owner, key->current == nullptr ? "" : key->current->identity().serial});
  }
  return attempts;
}

void KeyRing::Impl::Work() {
  absl::Duration ticked = clock_.SinceBoot();
  mutex_.Lock();
  while (!stopping_ || in_flight_ > 0 || !work_.empty()) {
    const absl::Time now = clock_.Now();
    std::vector<Attempt> attempts;
    if (!stopping_) attempts = TakeDue(now);
    std::vector<absl::AnyInvocable<void()&&>> work = std::move(work_);
    work_.clear();
    const absl::Duration boot = clock_.SinceBoot();
    const bool tick = woken_ || boot - ticked >= kTick;
    woken_ = false;
    if (attempts.empty() && work.empty() && !tick) {
      absl::Duration wait = kTick - (boot - ticked);
      if (!timers_.empty()) wait = std::min(wait, timers_.begin()->first - now);
      if (!lingering_.empty()) wait = std::min(wait, lingering_.begin()->first - now);
      changed_.WaitFor(mutex_, std::max(wait, absl::Milliseconds(1)));
      continue;
    }
    mutex_.Unlock();
    for (auto& step : work) std::move(step)();
    for (Attempt& attempt : attempts) Begin(std::move(attempt));
    if (tick) {
      ticked = boot;
      if (tick_) tick_(now);
    }
    mutex_.Lock();
  }
  stopped_ = true;
  mutex_.Unlock();
}

void KeyRing::Impl::Begin(Attempt attempt) {
  // The first certificate comes right after the caller was authenticated; each later one asks again.
  if (attempt.parent_serial.empty()) {
    CallerIdentity caller = attempt.owner->caller->identity;
    return Submit(std::move(attempt), std::move(caller));
  }
  const std::shared_ptr<const Owner> owner = attempt.owner;
  authenticate_(*owner->caller->peer,
                [this, attempt = std::move(attempt)](absl::StatusOr<CallerIdentity> caller) mutable {
                  Run([this, attempt = std::move(attempt), caller = std::move(caller)]() mutable {
                    Judged(std::move(attempt), std::move(caller));
                  });
                });
}

void KeyRing::Impl::Judged(Attempt attempt, absl::StatusOr<CallerIdentity> caller) {
  if (!caller.ok()) return Failed(attempt, caller.status());
  const SdsCaller judged{*caller, attempt.owner->caller->peer, attempt.owner->caller->lineage};
  if (!judged.MayReceiveKeyOf(attempt.key->id)) {
    return Failed(
        attempt, WithReason(absl::PermissionDeniedError(absl::StrCat("the caller (", caller->subject, ") may not hold ",
                                                                     attempt.key->id.uri(), " any more")),
                            "SPIFFE_ID_NOT_ALLOWED"));
  }
  if (attempt.check_only) {
    MutexLock lock(mutex_);
    --in_flight_;
    return;
  }
  Submit(std::move(attempt), *std::move(caller));
}

void KeyRing::Impl::Submit(Attempt attempt, CallerIdentity caller) {
  absl::StatusOr<std::unique_ptr<SoftwareKey>> key = SoftwareKey::Generate(options_.key_type);
  if (!key.ok()) return Failed(attempt, key.status());
  SubmittedRequest request;
  request.caller = std::move(caller);
  request.caller.instance = attempt.owner->instance;
  request.caller.node = attempt.owner->node;
  if (!attempt.parent_serial.empty()) request.caller.parent_serial = attempt.parent_serial;
  request.public_key = (*key)->public_key();
  request.spiffe_id = attempt.key->id;
  issue_(std::move(request), [this, attempt = std::move(attempt),
                              key_pem = (*key)->ToPkcs8Pem()](absl::StatusOr<IssuedCertificate> issued) mutable {
    // On the store's writer thread, most often, which has better things to do.
    Run([this, attempt = std::move(attempt), key_pem = std::move(key_pem), issued = std::move(issued)]() mutable {
      Issued(attempt, key_pem, std::move(issued));
    });
  });
}

void KeyRing::Impl::Issued(const Attempt& attempt, const SecretBytes& key_pem,
                           absl::StatusOr<IssuedCertificate> issued) {
  if (!issued.ok()) return Failed(attempt, issued.status());
  std::string chain = issued->chain.LeafPem().text();
  if (issued->authorities != nullptr) {
    for (const std::string& pem : issued->authorities->chain_tail_pem) chain += pem;
  } else {
    chain = issued->chain.ToPem();
  }
  const IssuanceRecord& record = issued->record;
  const absl::Time now = clock_.Now();
  // Half-life, spread so that a fleet that started together does not renew together.
  const absl::Duration life = record.not_after - now;
  const absl::Time renew_at =
      now + UniformDuration(entropy_, life * (0.9 * options_.renew_at), life * (1.1 * options_.renew_at));

  SecretContent::Identity identity{record.spiffe_id, record.serial.ToHex(), record.authority_id, record.not_after, 0};
  Listeners listeners;
  SecretContent::Ptr content;
  {
    MutexLock lock(mutex_);
    identity.generation = ++generation_;
    content = SecretContent::OfIdentity(std::move(identity), key_pem, chain);
    --in_flight_;
    ++(attempt.parent_serial.empty() ? stats_.issued : stats_.renewed);
    const KeyPtr& key = attempt.key;
    if (key->dropped) return;
    const auto again = std::exchange(key->again, Key::kNo);
    const bool at_once =
        again == Key::kYes || (again == Key::kIfSameAuthority && key->current != nullptr &&
                               key->current->identity().authority_id == content->identity().authority_id);
    key->state = Key::kIdle;
    key->current = content;
    key->renew_at = renew_at;
    key->failures = 0;
    key->reissue = again == Key::kIfSameAuthority && at_once && !key->holders.empty();
    if (!key->holders.empty()) {
      if (at_once) {
        Wait(key, /*urgent=*/!key->reissue);
      } else {
        SetTimer(key, renew_at);
      }
    }
    listeners = ListenersOf(*key);
  }
  for (const auto& listener : listeners) (*listener)(content);
}

void KeyRing::Impl::Failed(const Attempt& attempt, const absl::Status& why) {
  const KeyPtr& key = attempt.key;
  const absl::Time now = clock_.Now();
  Listeners listeners;
  {
    MutexLock lock(mutex_);
    --in_flight_;
    if (!attempt.check_only) ++stats_.failed;
    if (key->dropped) return;
    if (attempt.check_only && !IsFinal(why)) return;  // the judge is away: the next renewal asks again
    if (IsFinal(why)) {
      listeners = ListenersOf(*key);
      Drop(key);
    } else {
      key->state = Key::kIdle;
      key->again = Key::kNo;
      ++key->failures;
      if (key->current == nullptr || key->current->ExpiredAt(now)) listeners = ListenersOf(*key);
      if (key->holders.empty() && key->current == nullptr) {
        Drop(key);
      } else if (!key->holders.empty()) {
        SetTimer(key, now + RetryDelay(*key, now));
      }
    }
  }
  LogWarning(attempt.check_only ? "SDS: identity withdrawn" : "SDS: no new certificate",
             {{"spiffe_id", key->id.uri()},
              {"instance", key->instance},
              {"code", std::string(CodeName(why.code()))},
              {"error", std::string(why.message())}});
  for (const auto& listener : listeners) (*listener)(why);
}

absl::Duration KeyRing::Impl::RetryDelay(const Key& key, absl::Time now) const {
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

KeyRing::KeyRing(KeyRingOptions options, Issue issue, Authenticate authenticate, const Clock& clock,
                 EntropySource& entropy)
    : impl_(std::make_unique<Impl>(options, std::move(issue), std::move(authenticate), clock, entropy)) {}
KeyRing::~KeyRing() { impl_->Shutdown(); }

void KeyRing::Start() { impl_->Start(); }
void KeyRing::OnTick(std::function<void(absl::Time)> tick) { impl_->OnTick(std::move(tick)); }
void KeyRing::Recheck() { impl_->Recheck(); }
void KeyRing::Wake() { impl_->Wake(); }
void KeyRing::Run(absl::AnyInvocable<void() &&> work) { impl_->Run(std::move(work)); }
KeyRingStats KeyRing::Stats() const { return impl_->Stats(); }
void KeyRing::Shutdown() { impl_->Shutdown(); }

KeyReissuer::Progress KeyRing::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) {
  return impl_->Reissue(stale, per_second);
}

std::vector<SpiffeId> KeyRing::Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen) {
  return impl_->Renew(chosen);
}

KeyRing::Lease KeyRing::Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current) {
  auto [key, ticket] = impl_->Hold(std::move(owner), id, std::move(listener), current);
  Lease lease;
  lease.key_ = std::move(key);
  lease.ring_ = this;
  lease.ticket_ = ticket;
  return lease;
}

KeyRing::Lease& KeyRing::Lease::operator=(Lease&& other) noexcept {
  Release();
  key_ = std::move(other.key_);
  ring_ = other.ring_;
  ticket_ = other.ticket_;
  other.key_ = nullptr;
  return *this;
}

void KeyRing::Lease::Release() {
  if (key_ == nullptr) return;
  ring_->impl_->Release(std::static_pointer_cast<Key>(key_), ticket_);
  key_ = nullptr;
}

}  // namespace meshca::sds
