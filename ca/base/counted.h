// Numbers of things in sentences.
#ifndef MESHCA_CA_BASE_COUNTED_H_
#define MESHCA_CA_BASE_COUNTED_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meshca {

// "1 root", "2 roots"; with `many` where that is not `one` and an s: "3 lines of renewals".
inline std::string Counted(uint64_t number, absl::string_view one, absl::string_view many = "") {
  if (number == 1) return absl::StrCat(number, " ", one);
  return many.empty() ? absl::StrCat(number, " ", one, "s") : absl::StrCat(number, " ", many);
}

}  // namespace meshca

#endif  // MESHCA_CA_BASE_COUNTED_H_
