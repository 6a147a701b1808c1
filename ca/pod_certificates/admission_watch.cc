#include "ca/pod_certificates/admission_watch.h"

#include <algorithm>
#include <utility>

#include "ca/base/log.h"
#include "ca/base/serial_executor.h"
#include "ca/kubernetes/api_refusal.h"
#include "ca/pod_certificates/admission_guard.h"

namespace meshca {
namespace {

constexpr int kDoublingsMax = 16;
// How far the clocks of a cluster's API servers may be apart.
constexpr absl::Duration kClocksApart = absl::Minutes(1);

// Does the end of a look's call say nothing of the policy? Nobody answered, nobody could be asked, or who answered has
// too much to do, is starting, or is not the API server.
bool SaysNothing(const absl::Status& status) { return !status.ok() && !kubernetes::IsProperRefusal(status); }

}  // namespace

AdmissionWatch::AdmissionWatch(AdmissionWatchOptions options, kubernetes::ApiServer& server, const Clock& clock,
                               std::function<void()> changed)
    : options_(std::move(options)),
      server_(server),
      clock_(clock),
      changed_(std::move(changed)),
      verdict_(options_.without_policy ? absl::OkStatus()
                                       : absl::UnavailableError("the admission policy is being looked for")),
      memory_(options_.memory_file),
      calls_(server, options_.timeout) {
  MutexLock lock(mutex_);
  edition_ = memory_.kept().edition;
  guarded_since_ = mended_at_ = memory_.kept().guarded_since;
}

absl::Duration AdmissionWatch::Look() {
  if (options_.without_policy) return SerialExecutor::kLook;
  Remember();
  if (server_.reachability().away()) return SerialExecutor::kLook;
  {
    MutexLock lock(mutex_);
    const absl::Duration now = clock_.SinceBoot();
    if (looking_) return SerialExecutor::kLook;
    if (now < look_at_) return look_at_ - now;
    looking_ = true;
    looked_at_ = now;
    ++looks_;
  }
  calls_.Send(CallToGetAdmissionPolicy(), kubernetes::kObjectBytesMax, [this](absl::StatusOr<std::string> policy) {
    if (!policy.ok()) return Judge(policy, absl::UnknownError("not looked for"));
    calls_.Send(CallToGetAdmissionBinding(), kubernetes::kObjectBytesMax,
                [this, policy = std::move(policy)](const absl::StatusOr<std::string>& binding) mutable {
                  Judge(policy, binding);
                });
  });
  return SerialExecutor::kLook;
}

// Not on the client's thread, which would wait for the disk.
void AdmissionWatch::Remember() {
  AdmissionMemory::Seen seen;
  {
    MutexLock lock(mutex_);
    if (!seen_) return;
    seen = {edition_, guarded_since_};
  }
  memory_.Keep(seen);
}

void AdmissionWatch::Judge(const absl::StatusOr<std::string>& policy, const absl::StatusOr<std::string>& binding) {
  if (absl::IsCancelled(policy.status()) || absl::IsCancelled(binding.status())) return;  // Shutdown
  const absl::StatusOr<Admission> admission = JudgeAdmission(policy, binding, options_.signer_name);
  {
    MutexLock lock(mutex_);
    looking_ = false;
    // The binding is not asked for where the policy was not seen.
    const absl::Status end = policy.ok() ? binding.status() : policy.status();
    Pace(admission.ok(), kubernetes::RetryAfterOf(end));
    if (!SaysNothing(end)) {
      unseen_since_ = absl::InfiniteDuration();
    } else if (StillBelieved()) {
      return;
    }
    Take(admission);
  }
  changed_();
}

void AdmissionWatch::Pace(bool found, absl::Duration asked_for) {
  failures_ = found ? 0 : std::min(failures_ + 1, kDoublingsMax);
  const absl::Duration now = clock_.SinceBoot();
  const absl::Duration own = found ? options_.asked : std::min(options_.retry, options_.asked * (1 << failures_));
  not_before_ = now + std::max(own, asked_for);
  look_at_ = found ? now + options_.every : not_before_;
}

// While nobody can be asked nobody can create a request either, as a rule, nor is one signed that is newer than the
// last look. But whoever waits for it has to hear why.
bool AdmissionWatch::StillBelieved() {
  unseen_since_ = std::min(unseen_since_, looked_at_);
  return verdict_.ok() && clock_.SinceBoot() - unseen_since_ < options_.unseen;
}

void AdmissionWatch::Take(const absl::StatusOr<Admission>& admission) {
  const absl::Status& verdict = admission.status();
  if (!verdict.ok() && verdict != verdict_) {
    LogError("no PodCertificateRequest is answered",
             {{"signer", options_.signer_name}, {"error", std::string(verdict.message())}});
  }
  if (verdict.ok() && !verdict_.ok()) LogInfo("pods' certificates are signed", {{"signer", options_.signer_name}});
  verdict_ = verdict;
  // Objects that were edited, and edited back, may be as old as before: what came meanwhile is anybody's.
  if (absl::IsFailedPrecondition(verdict) && guarded_since_ != absl::InfinitePast()) weakened_ = true;
  if (!verdict.ok()) return;
  covers_ = looks_;
  const std::string before = std::exchange(edition_, admission->edition);
  const bool is_first = !std::exchange(seen_, true);
  // Objects that nobody has ever edited are as old as the API server says.
  const bool written = before != edition_ && (!is_first || admission->edited);
  const absl::Time mended_now = TimeThere() + kPolicyTakesHold;
  // Whatever was mended before was so by now: a clock that was wrong then must not keep everybody waiting. But one of
  // several API servers may only be a little behind the one by which it was dated.
  mended_at_ = std::min(mended_at_, is_first ? mended_now : mended_now + kClocksApart);
  if (std::exchange(weakened_, false) || written) mended_at_ = std::max(mended_at_, mended_now);
  guarded_since_ = std::max(admission->since, mended_at_);
}

absl::Time AdmissionWatch::TimeThere() const {
  const absl::Time there = server_.TimeThere();
  return there == absl::InfinitePast() ? clock_.Now() : there;
}

absl::Status AdmissionWatch::verdict() const {
  MutexLock lock(mutex_);
  return verdict_;
}

absl::Time AdmissionWatch::guarded_since() const {
  MutexLock lock(mutex_);
  return guarded_since_;
}

uint64_t AdmissionWatch::looks() const {
  MutexLock lock(mutex_);
  return looks_;
}

bool AdmissionWatch::Covers(uint64_t looks) {
  MutexLock lock(mutex_);
  if (options_.without_policy || covers_ > looks) return true;
  look_at_ = std::min(look_at_, not_before_);
  return false;
}

}  // namespace meshca
