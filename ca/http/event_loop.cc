#include "ca/http/event_loop.h"

#include <cstdint>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"

namespace meshca::http {

namespace asio = boost::asio;

struct EventLoop::Impl {
  // Told that one thread runs it; others post all the same.
  asio::io_context context{1};
  // Made here so that a want of descriptors shows now: Asio opens its own with the first timer or socket.
  asio::steady_timer first{context};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work{context.get_executor()};
  std::thread thread;
};

EventLoop::EventLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->context.run(); });
}

EventLoop::~EventLoop() { MESHCA_CHECK(!impl_->thread.joinable()); }

absl::StatusOr<std::shared_ptr<EventLoop>> EventLoop::Start() {
  try {
    return std::shared_ptr<EventLoop>(new EventLoop(std::make_unique<Impl>()));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("a thread for HTTP cannot begin: ", error.what()));
  }
}

void EventLoop::Post(Task task) {
  asio::post(impl_->context, [task = std::move(task)]() mutable { std::move(task)(); });
}

bool EventLoop::IsLoopThread() const { return impl_->context.get_executor().running_in_this_thread(); }

void EventLoop::Join() {
  asio::post(impl_->context, [impl = impl_.get()] { impl->work.reset(); });
  impl_->thread.join();
}

asio::io_context& EventLoop::context() { return impl_->context; }

// A deadline is set several times for each request and almost never comes. So Asio's timer is moved only to wake
// earlier than it would; when it wakes too early, it sleeps on.
struct Timer::State : std::enable_shared_from_this<Timer::State> {
  using Moment = asio::steady_timer::time_point;

  explicit State(EventLoop& loop) : timer(loop.context()) {}

  void Sleep() {
    wakes_at = due;
    timer.expires_at(*due);  // ends the sleep before
    timer.async_wait([self = shared_from_this(), number = ++number](const boost::system::error_code& error) {
      // A sleep that was over already when it was ended still calls back; its number tells it from the one after it.
      if (error || number != self->number) return;
      self->wakes_at.reset();
      if (!self->due.has_value()) return;
      if (*self->due > asio::steady_timer::clock_type::now()) return self->Sleep();
      self->due.reset();
      std::exchange(self->task, nullptr)();
    });
  }

  asio::steady_timer timer;
  uint64_t number = 0;
  std::optional<Moment> wakes_at;  // nothing: it does not sleep
  std::optional<Moment> due;       // of `task`
  EventLoop::Task task;
};

Timer::Timer(EventLoop& loop) : state_(std::make_shared<State>(loop)) {}
Timer::~Timer() { Cancel(); }

void Timer::Set(absl::Duration delay, EventLoop::Task task) {
  if (delay == absl::InfiniteDuration()) return Cancel();
  state_->task = std::move(task);
  state_->due = asio::steady_timer::clock_type::now() + absl::ToChronoNanoseconds(delay);
  if (!state_->wakes_at.has_value() || *state_->due < *state_->wakes_at) state_->Sleep();
}

void Timer::Cancel() {
  ++state_->number;
  state_->task = nullptr;
  state_->due.reset();
  // Really ended: a sleep that goes on would keep the loop's thread from its end.
  if (std::exchange(state_->wakes_at, std::nullopt).has_value()) state_->timer.cancel();
}

}  // namespace meshca::http
