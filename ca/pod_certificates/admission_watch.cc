#include "ca/pod_certificates/admission_watch.h"

#include <algorithm>
#include <utility>

#include "ca/base/log.h"
#include "ca/kubernetes/api_refusal.h"
#include "ca/pod_certificates/admission_guard.h"

namespace meshca {
namespace {

constexpr size_t kPolicyBytesMax = 1024 * 1024;
constexpr absl::Duration kPolicyTimeout = absl::Seconds(30);

}  // namespace

AdmissionWatch::AdmissionWatch(AdmissionWatchOptions options, kubernetes::ApiServer& server, const Clock& clock,
                               std::function<void()> changed)
    : options_(std::move(options)),
      clock_(clock),
      changed_(std::move(changed)),
      verdict_(options_.without_policy ? absl::OkStatus()
                                       : absl::UnavailableError("the admission policy is being looked for")),
      calls_(server, kPolicyTimeout) {}

void AdmissionWatch::Look() {
  {
    MutexLock lock(mutex_);
    const absl::Duration now = clock_.SinceBoot();
    if (options_.without_policy || looking_ || now < look_at_) return;
    looking_ = true;
    looked_at_ = now;
    ++looks_;
  }
  calls_.Send(CallToGetAdmissionPolicy(), kPolicyBytesMax, [this](absl::StatusOr<std::string> policy) {
    if (!policy.ok()) return Judge(policy, absl::UnknownError("not looked for"));
    calls_.Send(CallToGetAdmissionBinding(), kPolicyBytesMax,
                [this, policy = std::move(policy)](const absl::StatusOr<std::string>& binding) mutable {
                  Judge(policy, binding);
                });
  });
}

void AdmissionWatch::Judge(const absl::StatusOr<std::string>& policy, const absl::StatusOr<std::string>& binding) {
  const absl::StatusOr<Admission> admission = JudgeAdmission(policy, binding, options_.signer_name);
  const absl::Status& verdict = admission.status();
  {
    MutexLock lock(mutex_);
    looking_ = false;
    look_at_ = clock_.SinceBoot() + (verdict.ok() ? options_.every : options_.retry);
    // While the API server is away nobody can create a request either, nor could an answer be written.
    const bool unanswered = absl::IsUnavailable(verdict) && verdict_.ok() && !kubernetes::RefusalOf(policy.status()) &&
                            !kubernetes::RefusalOf(binding.status());
    if (unanswered) return;
    if (!verdict.ok() && verdict != verdict_) {
      LogError("no PodCertificateRequest is answered",
               {{"signer", options_.signer_name}, {"error", std::string(verdict.message())}});
    }
    if (verdict.ok() && !verdict_.ok()) LogInfo("pods' certificates are signed", {{"signer", options_.signer_name}});
    verdict_ = verdict;
    // Objects that were edited, and edited back, may be as old as before: what came meanwhile is anybody's.
    if (absl::IsFailedPrecondition(verdict) && guarded_since_ != absl::InfinitePast()) weakened_ = true;
    if (verdict.ok()) {
      covers_ = looks_;
      const std::string before = std::exchange(edition_, admission->edition);
      const bool written = !before.empty() && before != edition_;
      if (std::exchange(weakened_, false) || written) mended_at_ = clock_.Now() + kPolicyTakesHold;
      guarded_since_ = std::max(admission->since, mended_at_);
    }
  }
  changed_();
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
  look_at_ = std::min(look_at_, looked_at_ + options_.asked);
  return false;
}

}  // namespace meshca
