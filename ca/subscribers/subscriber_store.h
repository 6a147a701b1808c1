// What every subscriber acknowledged, durably: the evidence root rotation stands on. storage/ implements it.
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

  // Queues the rows (insert, or replace by instance) for the writer's next batch and returns. `done` runs once, on the
  // writer thread, or at once when the queue is full (ResourceExhausted).
  virtual void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) = 0;
  // Blocks on the database.
  virtual absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() = 0;
  // Queues the deletion of these instances' rows, behind the rows saved before, and returns. Those that are not there
  // are no error. `done` as above.
  virtual void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_STORE_H_
