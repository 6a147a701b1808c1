// A store in memory: storage/'s own rules over rows that are gone with the process. For tests of what stands on a
// store.
#ifndef MESHCA_TEST_FAKES_MEMORY_STORE_H_
#define MESHCA_TEST_FAKES_MEMORY_STORE_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "storage/row_store.h"
#include "test/fakes/inline_queue.h"
#include "test/fakes/memory_database.h"

namespace meshca {

// Everything is "durable" at once: Append, SaveSubscribers and DeleteSubscribers run `done` before they return, on the
// caller's thread, with no lock held. Backup is Unimplemented: there is no file. Thread-safe.
class MemoryStore final : public storage::RowStore {
 public:
  MemoryStore();
  ~MemoryStore() override;

  // From now on every write answers `why` (Ok: heals). What was held back by HoldAppends stays held.
  void FailWrites(absl::Status why) { faults_->FailWrites(std::move(why)); }
  // Appends are queued, not done, until ReleaseAppends: what a slow disk looks like. At most `queue_max` of them; more
  // answer ResourceExhausted.
  void HoldAppends(size_t queue_max) { faults_->Hold(queue_max); }
  void ReleaseAppends();
  // The next `times` Appends answer Aborted, as when an activation overtook them.
  void AbortAppends(int times) { faults_->Abort(times); }

 private:
  // What the store is made of, before it is given away.
  struct Parts;
  explicit MemoryStore(Parts parts);

  const std::shared_ptr<QueueFaults> faults_;
  InlineQueue& queue_;  // the store's
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_MEMORY_STORE_H_
