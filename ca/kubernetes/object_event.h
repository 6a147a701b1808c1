// What is told of an object in the cluster, where people look for it: `kubectl describe`, `kubectl get events`.
#ifndef MESHCA_CA_KUBERNETES_OBJECT_EVENT_H_
#define MESHCA_CA_KUBERNETES_OBJECT_EVENT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/kubernetes/api_call.h"

namespace meshca::kubernetes {

// Names one object. A value.
struct ObjectReference {
  std::string api_version;  // "v1", "certificates.k8s.io/v1"
  std::string kind;
  std::string namespace_name;  // "": of a kind that has none
  std::string name;
  std::string
      uid;  // `kubectl describe` finds events by it; "": it is not known, and the namespace's list has them alone

  friend bool operator==(const ObjectReference&, const ObjectReference&) = default;
};

// A value. Nothing secret goes into one: whoever may look at a namespace reads its events.
struct ObjectEvent {
  ObjectReference regarding;
  bool is_warning = false;
  std::string reason;  // for programs: "PodCertificateDenied"
  std::string action;  // what was being done: "Sign"
  std::string note;    // for people; what is over 1,024 bytes is cut off

  friend bool operator==(const ObjectEvent&, const ObjectEvent&) = default;
};

// Takes events and answers nobody: whether one arrives is of no consequence to who tells it. Thread-safe.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Never blocks; calls nobody. May be called with locks held.
  virtual void Tell(ObjectEvent event) = 0;
};

// Creates an Event of events.k8s.io/v1, in its object's namespace ("default" where that has none). `reporter` is who
// tells it, of many servers one: at most 128 bytes of it are written.
ApiCall CallToCreateEvent(const ObjectEvent& event, absl::string_view name, absl::string_view reporter, absl::Time at);
// The same has happened again, `count` times in all, the last time at `last`. NotFound: it is too old to be kept.
ApiCall CallToRepeatEvent(const ObjectEvent& event, absl::string_view name, uint64_t count, absl::Time last);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_OBJECT_EVENT_H_
