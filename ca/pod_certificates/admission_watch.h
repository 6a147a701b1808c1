// Looks again and again whether the admission policy stands that keeps strangers from making requests.
#ifndef MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_
#define MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/open_calls.h"

namespace meshca {

struct AdmissionWatchOptions {
  std::string signer_name;
  bool without_policy = false;  // nobody looks, and all is well
  absl::Duration every = absl::Seconds(10);
  absl::Duration retry = absl::Seconds(5);        // where it is missing
  absl::Duration asked = absl::Milliseconds(50);  // between two looks that Covers asks for
};

// Whoever may write the policy can weaken it for a second, and nobody looks so often. So a look speaks for the requests
// alone that were there when it began, and were created since anything was written last: between these two times the
// policy was what that look saw. Thread-safe.
class AdmissionWatch {
 public:
  // `server` and `clock` outlive it. `changed` is called after each look, on the API server's client thread.
  AdmissionWatch(AdmissionWatchOptions options, kubernetes::ApiServer& server, const Clock& clock,
                 std::function<void()> changed);

  // To be called about once a second: looks, where that is due.
  void Look();

  // Why nothing is signed: the policy is missing, or was not seen yet. Ok: it is there (JudgeAdmission).
  absl::Status verdict() const;
  // Since when strangers' requests are refused.
  absl::Time guarded_since() const;
  // How many looks have begun.
  uint64_t looks() const;
  // Has one that began after the first `looks` found the policy as it has to be? False: the next Look looks for it,
  // whatever `every` says.
  bool Covers(uint64_t looks);

  // Looks no more. Not on the API server's client thread.
  void Shutdown() { calls_.AwaitEnd(); }

 private:
  void Judge(const absl::StatusOr<std::string>& policy, const absl::StatusOr<std::string>& binding);

  const AdmissionWatchOptions options_;
  const Clock& clock_;
  const std::function<void()> changed_;

  mutable Mutex mutex_;
  absl::Status verdict_ ABSL_GUARDED_BY(mutex_);
  absl::Time guarded_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::string edition_ ABSL_GUARDED_BY(mutex_);                          // Admission's, as seen last; "": never
  bool weakened_ ABSL_GUARDED_BY(mutex_) = false;                        // it was there, and is not as it has to be
  absl::Time mended_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // after either; it has taken hold by then
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t looks_ ABSL_GUARDED_BY(mutex_) = 0;   // that have begun
  uint64_t covers_ ABSL_GUARDED_BY(mutex_) = 0;  // the number of the last that found it as it has to be
  absl::Duration looked_at_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();  // since boot: it began
  absl::Duration look_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();         // since boot

  kubernetes::OpenCalls calls_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_
