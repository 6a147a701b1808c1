// What several kinds of selector ask of a value.
#ifndef MESHCA_CA_AUTHN_SELECTOR_VALUES_H_
#define MESHCA_CA_AUTHN_SELECTOR_VALUES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

// Why `value` is no number of a user or group, in its one spelling; "" where it is.
std::string NumberFault(absl::string_view value);

// Why `value` is no name of a user or group; "" where it may be.
std::string NameFault(absl::string_view value);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SELECTOR_VALUES_H_
