// One apply of many entries on its way from a client into the store.
#ifndef MESHCA_CA_SERVICE_ENTRY_APPLY_H_
#define MESHCA_CA_SERVICE_ENTRY_APPLY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "ca/service/admin_context.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca {

// Takes parts, answers each. On a thread that may block, one call at a time.
class EntryApply {
 public:
  using Answer = std::function<void(const admin::v1::ApplyEntriesProgress&)>;

  // `context` outlives it.
  EntryApply(const AdminContext& context, std::string actor, Answer answer)
      : context_(context), actor_(std::move(actor)), answer_(std::move(answer)) {}
  // Leaves an apply that is still open to pruning: the last to hold it may be a loop, which must not wait.
  ~EntryApply();
  EntryApply(const EntryApply&) = delete;
  EntryApply& operator=(const EntryApply&) = delete;

  // Ok: `part` was taken and answered; with its `end`, all is done. An error ends the apply; where it concerns one
  // entry, an answer with its faults came before.
  absl::Status Take(const admin::v1::ApplyEntriesPart& part);
  void Drop();
  // Any thread: nobody waits for it any more. What of it has not begun yet is not done: Take answers Cancelled.
  void Abandon() { abandoned_ = true; }
  bool abandoned() const { return abandoned_; }
  bool finished() const { return finished_; }

 private:
  absl::Status Stage(const admin::v1::ApplyEntriesPart& part);
  absl::Status Finish(const admin::v1::ApplyEntriesEnd& end);
  // Answers that the entry at `place` of all is wrong; its error.
  absl::Status Fault(uint64_t place, const absl::Status& why);

  const AdminContext& context_;
  const std::string actor_;
  const Answer answer_;
  std::optional<uint64_t> apply_;  // of the store
  uint64_t received_ = 0;
  bool finished_ = false;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_ENTRY_APPLY_H_
