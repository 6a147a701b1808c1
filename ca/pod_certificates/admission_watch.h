// Looks again and again whether the admission policy stands that keeps strangers from making requests.
#ifndef MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_
#define MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_

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
  absl::Duration retry = absl::Seconds(5);  // where it is missing
};

// Thread-safe.
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
  bool weakened_ ABSL_GUARDED_BY(mutex_) = false;                        // it was there, and is not as it has to be
  absl::Time mended_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // after that; it has taken hold by then
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration look_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();  // since boot

  kubernetes::OpenCalls calls_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_
