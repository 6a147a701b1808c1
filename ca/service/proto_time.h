// Between absl's time and protobuf's.
#ifndef MESHCA_CA_SERVICE_PROTO_TIME_H_
#define MESHCA_CA_SERVICE_PROTO_TIME_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace meshca {

// Writes `time` into `message.mutable_FIELD()` by way of a function that makes the submessage, and leaves it absent for
// the infinite times that mean "never": SetTime(t, [&] { return record.mutable_used_at(); }).
template <typename Mutable>
void SetTime(absl::Time time, Mutable mutable_field) {
  if (time == absl::InfinitePast() || time == absl::InfiniteFuture()) return;
  google::protobuf::Timestamp* field = mutable_field();
  const int64_t seconds = absl::ToUnixSeconds(time);
  field->set_seconds(seconds);
  field->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

inline absl::Time ToTime(const google::protobuf::Timestamp& field) {
  return absl::FromUnixSeconds(field.seconds()) + absl::Nanoseconds(field.nanos());
}

inline absl::Duration ToDuration(const google::protobuf::Duration& field) {
  return absl::Seconds(field.seconds()) + absl::Nanoseconds(field.nanos());
}

inline void SetDuration(absl::Duration duration, google::protobuf::Duration* field) {
  field->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  field->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
}

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_PROTO_TIME_H_
