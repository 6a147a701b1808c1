// How other threads reach a loop: tasks in, one wake-up however many there are.
#ifndef MESHCA_CA_RPC_MAILBOX_H_
#define MESHCA_CA_RPC_MAILBOX_H_

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "ca/base/mutex.h"
#include "ca/base/unique_fd.h"

namespace meshca::rpc {

// Shared by its loop and by whoever may post to it, so a late post to a loop that has ended is dropped, not a crash.
class Mailbox {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  // `event` is an eventfd, readable when there are tasks.
  explicit Mailbox(UniqueFd event) : event_(std::move(event)) {}

  // Any thread. Tasks run on the loop's thread in the order posted. After Close: destroyed unrun, here.
  void Post(Task task);

  // Whether this thread is the loop's.
  bool OnLoop() const { return current_ == this; }

  // The rest is the loop's.
  void Enter() { current_ = this; }
  void Leave() { current_ = nullptr; }
  int event_fd() const { return event_.get(); }
  // All tasks so far, in `tasks`, which must be empty (and gives its memory to the next ones).
  void Take(std::vector<Task>& tasks);
  void Close();

 private:
  static thread_local const Mailbox* current_;

  const UniqueFd event_;
  Mutex mutex_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_MAILBOX_H_
