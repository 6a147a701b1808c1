// One thread that waits for sockets and timers: Asio, behind a header that does not show it.
#ifndef MESHCA_CA_HTTP_EVENT_LOOP_H_
#define MESHCA_CA_HTTP_EVENT_LOOP_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace boost::asio {
class io_context;
}

namespace meshca::http {

// Each connection belongs to one loop and needs no lock: what is not said to be thread-safe is for the loop's thread.
class EventLoop {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  // Begins the thread. Unavailable: no descriptor is left for it.
  static absl::StatusOr<std::shared_ptr<EventLoop>> Start();
  // Not on the loop's thread. Join was called.
  ~EventLoop();

  // Thread-safe. Runs `task` on the loop's thread; after Join it is dropped, sooner or later.
  void Post(Task task);
  // Thread-safe.
  bool IsLoopThread() const;
  // Lets the thread end as soon as nothing is under way any more, and waits for that: the owner has closed its wires
  // and cancelled its timers before, or has posted what does so. Not on the loop's thread.
  void Join();

  boost::asio::io_context& context();

 private:
  struct Impl;
  explicit EventLoop(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// Runs one task later.
class Timer {
 public:
  // `loop` outlives the timer.
  explicit Timer(EventLoop& loop);
  ~Timer();  // cancels

  // After `delay`, instead of what was set before. InfiniteDuration: never.
  void Set(absl::Duration delay, EventLoop::Task task);
  void Cancel();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_EVENT_LOOP_H_
