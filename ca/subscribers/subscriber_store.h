// The database of subscriber instances and what each has acknowledged, the evidence for root rotation. storage/
// implements this interface.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_STORE_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_STORE_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// Thread-safe.
class SubscriberStore {
 public:
  using SaveDone = absl::AnyInvocable<void(absl::Status) &&>;
  virtual ~SubscriberStore() = default;

  // Queues the rows for the writer's next batch and returns; each is inserted or replaces the row of its instance.
  // `done` runs once: on the writer thread, Ok when the rows are durable; or at once, on the caller's thread, when the
  // job is refused (ResourceExhausted: the queue is full; Unavailable).
  virtual void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) = 0;
  // All rows. Blocks on the database.
  virtual absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() = 0;
  // Queues the deletion of these instances' rows, after everything queued before, and returns. Rows that do not exist
  // are not an error. `done` as above.
  virtual void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) = 0;
  // Whether there is a place where rows go. Where there is none nobody makes them: a store that is done at once would
  // else be given a row for each change, and what an instance with ten thousand streams holds is long work to compute.
  virtual bool KeepsRows() const { return true; }
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_STORE_H_
