// Knows whether the API server can be reached, and tells whoever waits for it that it is back.
#ifndef MESHCA_CA_KUBERNETES_REACHABILITY_H_
#define MESHCA_CA_KUBERNETES_REACHABILITY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/outage.h"

namespace meshca::kubernetes {

// What a probe has found out.
struct ProbeEnd {
  enum class Kind {
    kAnswered,  // the API server answered, and is ready
    kFailed,
    kUnknown,  // nothing could be sent, for a reason of our own
  };
  Kind kind;
  std::string why = {};  // of kFailed, for people
};

// Its owner tells it of the end of every call. While there is a listener and an end without an answer gives reason to
// (Outage), it probes, on a thread that begins with the first such reason: one probe at a time, but for one that still
// hangs while somebody else was answered. The log says when an outage begins and when it is over. Thread-safe.
class Reachability {
 public:
  // `probe` begins a probe, on Reachability's own thread, without waiting for its end, which `done` is told once, on
  // any thread or at once, and before Reachability ends.
  using ProbeDone = absl::AnyInvocable<void(const ProbeEnd&) &&>;
  Reachability(OutageTerms terms, std::function<void(ProbeDone done)> probe);
  ~Reachability();  // Stop

  void NoteAnswered();
  // The call was begun at `begun`, since boot by SystemClock.
  void NoteUnanswered(absl::Duration begun);

  // How many outages are over. Whoever has waited since a call that was begun when this was another number,
  // and that got no answer (IsWithoutAnswer), tries again.
  uint64_t returns() const { return returns_; }

  // Whether a probe has failed, and nothing was answered since then. Whoever has much to send leaves it until then: an
  // answer follows, though after an hour or a day. False where nobody listens.
  bool away() const;
  // What the last probe that failed said of it, for people; "" where it is not away.
  std::string WhyAway() const;
  // How many were begun.
  uint64_t probes() const;

  // No probe is begun and nobody told any more when it returns. Idempotent; not by a listener.
  void Stop();

 private:
  friend class ReturnListener;
  uint64_t Add(std::function<void()> on_return);
  // Waits for its end where it is just being called.
  void Remove(uint64_t listener);

  void ProbeAndTell();
  void OnProbed(uint64_t number, absl::Duration begun, const ProbeEnd& end) ABSL_LOCKS_EXCLUDED(mutex_);
  void TellListeners() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::function<void(ProbeDone)> probe_;
  std::atomic<uint64_t> returns_ = 0;

  mutable Mutex mutex_;
  CondVar changed_;
  Outage outage_ ABSL_GUARDED_BY(mutex_);
  std::string last_failure_ ABSL_GUARDED_BY(mutex_);  // ProbeEnd::why
  uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0;         // of returns_, that the listeners know
  std::map<uint64_t, std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
  uint64_t added_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t called_ ABSL_GUARDED_BY(mutex_) = 0;  // the listener that is being called; 0: none
  uint64_t probes_ ABSL_GUARDED_BY(mutex_) = 0;  // begun
  // The number of the probe that is under way; 0: none, or one that was overtaken by an answer.
  uint64_t probing_ ABSL_GUARDED_BY(mutex_) = 0;
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
