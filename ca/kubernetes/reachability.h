// Knows whether the API server can be reached, and tells whoever waits for it that it is back.
#ifndef MESHCA_CA_KUBERNETES_REACHABILITY_H_
#define MESHCA_CA_KUBERNETES_REACHABILITY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/outage.h"

namespace meshca::kubernetes {

// Whoever tries again at once because the API server is back counts at most so many failures from before. Had they all
// been forgotten, one that goes away again at once would be asked without a pause; did they all count, a refusal of the
// first minute, while it is still starting, would be waited for as long as the whole outage.
inline constexpr int kFailuresKept = 4;

// Its owner tells it of the end of every call. While there is a listener and an end without an answer gives reason to
// (Outage), it probes, one probe at a time, on a thread that begins with the first such reason. Thread-safe.
class Reachability {
 public:
  // `probe` blocks, and says whether the API server answered and is ready. It is called on Reachability's own thread.
  Reachability(OutageTerms terms, std::function<bool()> probe);
  ~Reachability();  // Stop

  void NoteAnswered();
  // The call was begun at `begun`, since boot by SystemClock.
  void NoteUnanswered(absl::Duration begun);

  // How often it was away and came back. Whoever has waited since a call that was begun when this was another number,
  // and that got no answer (IsWithoutAnswer), tries again.
  uint64_t returns() const { return returns_; }

  // Whether a probe has failed, and it is not back yet. Whoever has much to send leaves it until then: a return
  // follows, though after an hour or a day. False where nobody listens.
  bool away() const;

  // No probe is made and nobody told any more when it returns. What `probe` waits for has been ended before.
  // Idempotent; not by a listener.
  void Stop();

 private:
  friend class ReturnListener;
  uint64_t Add(std::function<void()> on_return);
  // Waits for its end where it is just being called.
  void Remove(uint64_t listener);

  void ProbeAndTell();
  void TellListeners() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::function<bool()> probe_;
  std::atomic<uint64_t> returns_ = 0;

  mutable Mutex mutex_;
  CondVar changed_;
  Outage outage_ ABSL_GUARDED_BY(mutex_);
  uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0;  // of returns_, that the listeners know
  std::map<uint64_t, std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
  uint64_t added_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t called_ ABSL_GUARDED_BY(mutex_) = 0;  // the listener that is being called; 0: none
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

// Has `on_return` called after each return, on Reachability's thread, with no lock held: it is short, and makes no
// ReturnListener and ends none.
class ReturnListener {
 public:
  // `reachability` outlives it.
  ReturnListener(Reachability& reachability, std::function<void()> on_return)
      : reachability_(reachability), number_(reachability.Add(std::move(on_return))) {}
  // It is not called any more when this returns. Holds no lock that `on_return` takes.
  ~ReturnListener() { reachability_.Remove(number_); }
  ReturnListener(const ReturnListener&) = delete;
  ReturnListener& operator=(const ReturnListener&) = delete;

 private:
  Reachability& reachability_;
  const uint64_t number_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_REACHABILITY_H_
