// The events that are yet to be written, few enough however many are told.
#ifndef MESHCA_CA_KUBERNETES_EVENT_QUEUE_H_
#define MESHCA_CA_KUBERNETES_EVENT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/object_event.h"

namespace meshca::kubernetes {

struct EventLimits {
  size_t events_max = 512;                          // different ones, remembered at once
  size_t of_one_object_max = 8;                     // the same, of one object
  size_t of_one_namespace_max = 128;                // the same, of the objects of one namespace
  absl::Duration remembered = absl::Minutes(10);    // after it was told last: what comes later is another event
  absl::Duration repeat_first = absl::Seconds(10);  // after it was written: that it came again
  absl::Duration repeat_every = absl::Minutes(1);   // how often the number of one that comes again is written
  absl::Duration gap = absl::Milliseconds(200);     // between two writes of any events
  absl::Duration retry = absl::Seconds(5);          // after a write that failed, or as the API server asks
  int tries = 3;
  absl::Duration pause = absl::Minutes(10);  // after a write for which the right is missing
};

// What is told again is counted and not kept again: the API server has one Event of it, with a number. What is beyond
// the limits is dropped, and counted. Times are since boot, but for `wall`, which is written down. A value with one
// owner: no lock, no clock.
class EventQueue {
 public:
  EventQueue(EventLimits limits, std::string reporter) : limits_(limits), reporter_(std::move(reporter)) {}

  // `name` is for a new one: no other Event has it.
  void Add(ObjectEvent event, std::string name, absl::Duration now, absl::Time wall);

  // The write that is due; nothing: none is, or one is under way. It is told Ended.
  std::optional<ApiCall> TakeDue(absl::Duration now);
  void Ended(const absl::Status& status, absl::Duration now);
  // When TakeDue will have something, or InfiniteDuration.
  absl::Duration NextDue() const;

  uint64_t written() const { return written_; }
  uint64_t dropped() const { return dropped_; }

 private:
  struct Remembered {
    ObjectEvent event;
    std::string name;
    absl::Time first;
    absl::Time last;
    absl::Duration told_at;  // last
    uint64_t count = 1;
    uint64_t count_written = 0;
    uint64_t count_under_way = 0;
    absl::Duration due;  // InfiniteDuration: all is written
    int failures = 0;    // in a row
  };
  using Events = std::list<Remembered>;

  absl::Duration RepeatAfter(const Remembered& one) const;
  void ForgetOld(absl::Duration now);
  bool HasRoomFor(const ObjectReference& object) const;
  Events::iterator FirstDue();
  void DropAll();

  const EventLimits limits_;
  const std::string reporter_;
  Events events_;
  std::optional<Events::iterator> under_way_;
  absl::Duration not_before_ = -absl::InfiniteDuration();
  absl::Duration paused_until_ = -absl::InfiniteDuration();
  uint64_t written_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_EVENT_QUEUE_H_
