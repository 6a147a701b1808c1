// Times as people read them. Moments are UTC, in the words of ca/base/utc_text.h.
#ifndef MESHCA_CLI_TERMINAL_PEOPLE_TIME_H_
#define MESHCA_CLI_TERMINAL_PEOPLE_TIME_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace google::protobuf {
class Message;
}

namespace meshca::cli {

// "42 s", "12 min", "12 h", "3 days": one unit, rounded. Below a second, negative ones included: "under a second".
// Infinite: "for ever".
std::string ShortDuration(absl::Duration duration);

// The Timestamp `field` of `owner` for a column or a sentence that says itself that it is UTC: "2026-11-23 20:15:00";
// "-" for an absent one.
std::string ShowTime(const google::protobuf::Message& owner, absl::string_view field);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_PEOPLE_TIME_H_
