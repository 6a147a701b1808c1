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
#include "ca/pod_certificates/admission_guard.h"
#include "ca/pod_certificates/admission_memory.h"

namespace meshca {

struct AdmissionWatchOptions {
  std::string signer_name;
  bool without_policy = false;  // nobody looks, and all is well
  absl::Duration every = absl::Seconds(10);
  // From the end of a look to the next one that Covers asks for; where it did not find the policy as it has to be, to
  // the next one, twice as long each time, up to `retry`, and never less than the API server asks for.
  absl::Duration asked = absl::Milliseconds(50);
  absl::Duration retry = absl::Seconds(5);
  absl::Duration timeout = absl::Seconds(10);  // of each of a look's two calls
  // Where no look has had an answer for this long, nothing is signed for that reason, which is said.
  absl::Duration unseen = absl::Seconds(30);
  // What processes before this one saw. "": nothing is remembered.
  std::string memory_file = {};
};

// Whoever may write the policy can weaken it for a second, and nobody looks so often. So a look speaks for the requests
// alone that were there when it began, and were created since anything was written last: between these two times the
// policy was what that look saw. When something was written last the objects do not say in a way that their writers
// could not change, so it is seen by their editions; of what was edited while nobody looked nothing is known, and
// requests from before the first look are not spoken for. One look at a time, at a bounded pace, whatever is asked for.
// Thread-safe.
class AdmissionWatch {
 public:
  // `server` and `clock` outlive it. `changed` is called after each look but those of which nothing is known, on the
  // API server's client thread.
  AdmissionWatch(AdmissionWatchOptions options, kubernetes::ApiServer& server, const Clock& clock,
                 std::function<void()> changed);

  // Looks, where that is due, and not while the API server is away. May write a file. Returns after how long to call it
  // again at the latest.
  absl::Duration Look();

  // Why nothing is signed: the policy is missing, was not seen yet, or cannot be seen any more. Ok: it is there
  // (JudgeAdmission).
  absl::Status verdict() const;
  // Since when strangers' requests are refused.
  absl::Time guarded_since() const;
  // How many looks have begun.
  uint64_t looks() const;
  // Has one that began after the first `looks` found the policy as it has to be? False: Look, which is to be called,
  // looks for it as soon as `asked` lets it, whatever `every` says.
  bool Covers(uint64_t looks);

  // Looks no more. Not on the API server's client thread.
  void Shutdown() { calls_.AwaitEnd(); }

 private:
  void Judge(const absl::StatusOr<std::string>& policy, const absl::StatusOr<std::string>& binding);

  // When the next look is due, after one that ended so; `asked_for`: by the API server (Retry-After).
  void Pace(bool found, absl::Duration asked_for) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether what is known stays as it is after a look that had no answer.
  bool StillBelieved() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(const absl::StatusOr<Admission>& admission) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember() ABSL_LOCKS_EXCLUDED(mutex_);
  // By the clock that requests are dated by, which may not be ours.
  absl::Time TimeThere() const;

  const AdmissionWatchOptions options_;
  kubernetes::ApiServer& server_;
  const Clock& clock_;
  const std::function<void()> changed_;

  mutable Mutex mutex_;
  absl::Status verdict_ ABSL_GUARDED_BY(mutex_);
  absl::Time guarded_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::string edition_ ABSL_GUARDED_BY(mutex_);    // Admission's, as seen last, also before the start; "": never
  bool seen_ ABSL_GUARDED_BY(mutex_) = false;      // since the start
  bool weakened_ ABSL_GUARDED_BY(mutex_) = false;  // it was there, and is not as it has to be
  absl::Time mended_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // after either; it has taken hold by then
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t looks_ ABSL_GUARDED_BY(mutex_) = 0;   // that have begun
  uint64_t covers_ ABSL_GUARDED_BY(mutex_) = 0;  // the number of the last that found it as it has to be
  // Times since boot.
  absl::Duration looked_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();         // the last look began
  absl::Duration look_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();           // the next one is due
  absl::Duration not_before_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();        // nor asked for sooner
  absl::Duration unseen_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteDuration();  // the first of those without answer
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;                                        // looks in a row

  // Look's.
  AdmissionMemory memory_;

  kubernetes::OpenCalls calls_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_ADMISSION_WATCH_H_
