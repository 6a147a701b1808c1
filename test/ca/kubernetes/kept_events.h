// Keeps the events that it is told.
#ifndef MESHCA_TEST_CA_KUBERNETES_KEPT_EVENTS_H_
#define MESHCA_TEST_CA_KUBERNETES_KEPT_EVENTS_H_

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/object_event.h"

namespace meshca::kubernetes {

// Thread-safe.
class KeptEvents final : public EventSink {
 public:
  void Tell(ObjectEvent event) override {
    MutexLock lock(mutex_);
    events_.push_back(std::move(event));
  }
  std::vector<ObjectEvent> all() {
    MutexLock lock(mutex_);
    return events_;
  }

 private:
  Mutex mutex_;
  std::vector<ObjectEvent> events_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_TEST_CA_KUBERNETES_KEPT_EVENTS_H_
