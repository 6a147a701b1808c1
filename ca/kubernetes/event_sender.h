// Writes events into the cluster, as well as it goes.
#ifndef MESHCA_CA_KUBERNETES_EVENT_SENDER_H_
#define MESHCA_CA_KUBERNETES_EVENT_SENDER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/event_queue.h"
#include "ca/kubernetes/object_event.h"

namespace meshca::kubernetes {

struct EventCounts {
  uint64_t written = 0;
  uint64_t dropped = 0;  // too many, or they could not be written
};

// One write at a time. What cannot be written is dropped; a right that is missing is said in the log, once.
// Thread-safe.
class EventSender final : public EventSink {
 public:
  static constexpr absl::Duration kCallTimeout = absl::Seconds(5);

  // All outlive it. `reporter`: EventQueue's.
  EventSender(EventLimits limits, std::string reporter, ApiServer& server, const Clock& clock, EntropySource& entropy);
  ~EventSender() override;  // Shutdown

  void Start() { executor_.Start(); }
  void Tell(ObjectEvent event) override;
  EventCounts Counts() const;

  // Nothing is written any more when it returns; what was told last may never be. Idempotent; not on the API server's
  // client thread.
  void Shutdown();

 private:
  absl::Duration Write();
  void OnWritten(const absl::Status& status);

  ApiServer& server_;
  const Clock& clock_;
  EntropySource& entropy_;

  mutable Mutex mutex_;
  CondVar ended_;  // a write has
  EventQueue queue_ ABSL_GUARDED_BY(mutex_);
  bool under_way_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<ApiServer::CallId> call_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool warned_ ABSL_GUARDED_BY(mutex_) = false;

  SerialExecutor executor_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_EVENT_SENDER_H_
