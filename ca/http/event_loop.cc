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

struct Timer::State {
  explicit State(EventLoop& loop) : timer(loop.context()) {}
  asio::steady_timer timer;
  // A timer that was due already when it was set anew still calls back: its number tells it from the new one.
  uint64_t number = 0;
  EventLoop::Task task;
};

Timer::Timer(EventLoop& loop) : state_(std::make_shared<State>(loop)) {}
Timer::~Timer() { Cancel(); }

void Timer::Set(absl::Duration delay, EventLoop::Task task) {
  Cancel();
  if (delay == absl::InfiniteDuration()) return;
  state_->task = std::move(task);
  state_->timer.expires_after(absl::ToChronoNanoseconds(delay));
  state_->timer.async_wait([state = state_, number = state_->number](const boost::system::error_code& error) {
    if (error || number != state->number) return;
    ++state->number;
    std::exchange(state->task, nullptr)();
  });
}

void Timer::Cancel() {
  ++state_->number;
  state_->task = nullptr;
  state_->timer.cancel();
}

}  // namespace meshca::http
