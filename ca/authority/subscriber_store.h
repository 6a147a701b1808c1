// What every subscriber acknowledged, durably: the evidence root rotation stands on. storage/ implements it.
#ifndef MESHCA_CA_AUTHORITY_SUBSCRIBER_STORE_H_
#define MESHCA_CA_AUTHORITY_SUBSCRIBER_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca {

// One subscriber instance (a SPIFFE ID is shared by many pods and proves nothing): on a Unix socket the process, which
// is its pid and start time, with its node id; over mTLS the SPIFFE ID, the node id and the client certificate followed
// through its renewals (sds/caller.h makes the key). The slowest of its streams counts.
struct SubscriberRecord {
  std::string instance;  // unique key; made by sds/
  std::string spiffe_id;
  std::string node;
  std::string kind;  // "sds-unix", "sds-mtls", "agent", "workload-api"
  std::string peer;  // for people: "pid 4242 uid 1000", "10.0.0.7:41822"
  bool connected = false;
  absl::Time first_seen;
  absl::Time last_seen;
  // The slowest stream's acknowledged state; 0 and "" before the first acknowledgement.
  uint64_t bundle_sequence = 0;
  std::string serial;        // hex, of the acknowledged leaf
  std::string version_info;  // of the newest acknowledged `default`
  absl::Time acknowledged_at = absl::InfinitePast();
  absl::Time certificate_expires = absl::InfinitePast();  // of the newest leaf sent to it
  std::string rejected;       // what the proxy said with its last NACK; "" after a later ACK
  std::string authority_id;   // that signed the leaf `serial`; "" while that is ""
  bool takes_bundle = false;  // a stream of it carries, or carried when it left, a trust bundle
  bool takes_key = false;     // the same, for a key
  // When the operator said that the instance is gone for good. It counts no more, unless it comes back: a stream of it
  // clears this.
  absl::Time evicted_at = absl::InfiniteFuture();
};

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

#endif  // MESHCA_CA_AUTHORITY_SUBSCRIBER_STORE_H_
