#include "ca/kubernetes/lease_holder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/utc_text.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca::kubernetes {
namespace {

constexpr absl::Duration kGiveBackTimeout = absl::Seconds(2);
// A right or a namespace that is missing stays so until somebody does something about it.
constexpr absl::Duration kRefusedAgain = absl::Seconds(5);
// Whoever may write the Lease could fill the log by another holder every second.
constexpr absl::Duration kNewsGap = absl::Seconds(10);

// Somebody else wrote first: 409, and 422 where the object came to be meanwhile.
bool IsLostRace(bool was_write, const absl::Status& status) {
  return was_write && (absl::IsAborted(status) || absl::IsInvalidArgument(status));
}

absl::Duration WaitAfter(const absl::Status& status) {
  const bool lasts = absl::IsPermissionDenied(status) || IsMissingObject(status);
  return std::max(lasts ? kRefusedAgain : LeaseTerms().look_every, RetryAfterOf(status));
}

}  // namespace

LeaseHolder::LeaseHolder(LeasePlace place, LeaseTerms terms, ApiServer& server, const Clock& clock)
    : place_(std::move(place)),
      terms_(std::move(terms)),
      server_(server),
      clock_(clock),
      contest_(terms_),
      executor_(clock) {
  executor_.AddDuty([this] { return Contend(); });
}

LeaseHolder::~LeaseHolder() { Shutdown(); }

bool LeaseHolder::Held() const {
  MutexLock lock(mutex_);
  return !stopping_ && contest_.Held(clock_.SinceBoot());
}

// The executor's duty: one call after another.
absl::Duration LeaseHolder::Contend() {
  TellChange();
  const absl::Duration now = clock_.SinceBoot();
  LeaseContest::Step step;
  ApiCall call;
  {
    MutexLock lock(mutex_);
    if (stopping_ || under_way_) return SerialExecutor::kLook;
    step = contest_.Next(now);
    if (step.at > now) return step.at - now;
    call = step.write ? CallToWriteLease(place_, contest_.ToTake(clock_.Now())) : CallToGetLease(place_);
    under_way_ = true;
  }
  server_.Send(
      call, kObjectBytesMax, kCallTimeout,
      [this, write = step.write, now](const absl::StatusOr<std::string>& answer) { OnAnswer(write, now, answer); });
  return SerialExecutor::kLook;
}

void LeaseHolder::OnAnswer(bool was_write, absl::Duration begun, const absl::StatusOr<std::string>& answer) {
  absl::StatusOr<LeaseRecord> record = answer.ok() ? ReadLease(*answer) : answer.status();
  // Of a namespace that is missing the API server says the same to a look; the write that follows tells.
  if (!was_write && IsMissingObject(record.status())) record = LeaseRecord();
  MutexLock lock(mutex_);
  TakeAnswer(was_write, begun, std::move(record));
  under_way_ = false;
  executor_.Nudge();
  ended_.NotifyAll();
}

void LeaseHolder::TakeAnswer(bool was_write, absl::Duration begun, absl::StatusOr<LeaseRecord> record) {
  const absl::Duration now = clock_.SinceBoot();
  if (!record.ok()) {
    // An admission policy or a webhook refuses by the same codes. After a race somebody else stands there.
    const bool lost_race = IsLostRace(was_write, record.status()) && lost_races_++ == 0;
    // After a race that was lost the look tells who won.
    if (!lost_race) error_ = record.status();
    return contest_.Unknown(lost_race ? absl::ZeroDuration() : WaitAfter(record.status()), now);
  }
  if (was_write) {
    lost_races_ = 0;
    error_ = absl::OkStatus();
    return contest_.Taken(*record, begun, now);
  }
  contest_.Seen(*record, now);
  if (contest_.IsAnothers()) lost_races_ = 0;
  // Where a write is due, it tells whether all is well.
  if (!contest_.Next(now).write) error_ = absl::OkStatus();
}

std::string LeaseHolder::GoneLocked() const {
  const absl::Duration wait = contest_.free_from() - clock_.SinceBoot();
  if (wait <= absl::ZeroDuration()) return "";
  return absl::StrCat("was deleted, or its holder struck out: the server that held it may write until ",
                      TimeOfDayText(clock_.Now() + wait), ", and it is taken then");
}

std::string LeaseHolder::WhyNotLocked() const {
  if (stopping_) return "this server is ending";
  if (contest_.Held(clock_.SinceBoot())) return "";
  if (!error_.ok()) return absl::StrCat("the Lease ", place_.Text(), " cannot be had: ", error_.message());
  if (const std::string gone = GoneLocked(); !gone.empty()) {
    return absl::StrCat("the Lease ", place_.Text(), " ", gone);
  }
  if (!contest_.IsAnothers()) return absl::StrCat("the Lease ", place_.Text(), " is being asked for");
  return absl::StrCat(contest_.record().holder, " holds the Lease ", place_.Text());
}

std::string LeaseHolder::WhyNot() const {
  MutexLock lock(mutex_);
  return WhyNotLocked();
}

// Says in the log what has changed, and tells the listeners.
void LeaseHolder::TellChange() {
  bool held = false;
  std::string why_not;
  {
    MutexLock lock(mutex_);
    held = !stopping_ && contest_.Held(clock_.SinceBoot());
    // What is about to be had, or was not looked at yet, is not waited for.
    const bool is_asked_for = !contest_.IsAnothers() && clock_.SinceBoot() >= contest_.free_from();
    if (!held && !told_held_ && error_.ok() && is_asked_for) return;
    why_not = WhyNotLocked();
    if (held != told_held_) ++(held ? gained_ : lost_);
  }
  const bool is_change = std::exchange(told_held_, held) != held;
  const absl::Duration now = clock_.SinceBoot();
  const bool is_news = told_why_not_ != why_not && now - told_at_ >= kNewsGap;
  if (is_change || is_news) {
    told_why_not_ = why_not;
    told_at_ = now;
  }
  if (held && is_change) {
    LogInfo("this server has the Lease: it publishes and signs in the cluster",
            {{"lease", place_.Text()}, {"holder", terms_.identity}});
  } else if (!held && (is_change || is_news)) {
    LogWarning(is_change ? "this server has lost the Lease: it writes nothing in the cluster any more"
                         : "this server waits for the Lease: it writes nothing in the cluster",
               {{"lease", place_.Text()}, {"why", why_not}});
  }
  if (!is_change) return;
  for (const std::function<void()>& changed : listeners_) changed();
}

LeaseStatus LeaseHolder::Status() const {
  MutexLock lock(mutex_);
  LeaseStatus status;
  status.lease = place_.Text();
  status.uid = contest_.record().uid;
  status.identity = terms_.identity;
  status.held = !stopping_ && contest_.Held(clock_.SinceBoot());
  status.holder = contest_.record().holder;
  status.since = contest_.record().acquired;
  status.error = error_;
  status.gone = GoneLocked();
  status.gained = gained_;
  status.lost = lost_;
  return status;
}

void LeaseHolder::Shutdown() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  executor_.Shutdown();
  {
    // Not cut off: a renewal that went through all the same would change what is to be given back.
    MutexLock lock(mutex_);
    while (under_way_) ended_.Wait(mutex_);
  }
  GiveBack();
}

void LeaseHolder::GiveBack() {
  ApiCall call;
  {
    MutexLock lock(mutex_);
    if (!contest_.IsOurs() || !error_.ok()) return;
    call = CallToWriteLease(place_, contest_.ToRelease(clock_.Now()));
  }
  const absl::Status status = server_.Call(call, kObjectBytesMax, kGiveBackTimeout).status();
  if (status.ok()) return LogInfo("the Lease is given back", {{"lease", place_.Text()}});
  LogWarning("the Lease could not be given back: another server takes it when it has run out",
             {{"lease", place_.Text()}, {"error", std::string(status.message())}});
}

}  // namespace meshca::kubernetes
