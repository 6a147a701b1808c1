// Requests and commands that name what they mean in exactly one of several ways.
#ifndef MESHCA_CA_BASE_EXACTLY_ONE_H_
#define MESHCA_CA_BASE_EXACTLY_ONE_H_

#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

struct OneWay {
  absl::string_view name;  // as the reader writes it: "--id", "spiffe_id_glob"
  bool given = false;
};

// InvalidArgument unless one way is given and no other: names them all, how many there were, and `advice`.
absl::Status CheckExactlyOne(std::initializer_list<OneWay> ways, absl::string_view advice);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_EXACTLY_ONE_H_
