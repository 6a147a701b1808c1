#include "ca/base/exactly_one.h"

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"

namespace meshca {

absl::Status CheckExactlyOne(std::initializer_list<OneWay> ways, absl::string_view advice) {
  std::string names;
  size_t number = 0;
  size_t given = 0;
  for (const OneWay& way : ways) {
    ++number;
    if (way.given) ++given;
    absl::StrAppend(&names, number == 1 ? "" : number == ways.size() ? " and " : ", ", way.name);
  }
  if (given == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("give exactly one of ", names, ", not ", given, "; ", advice));
}

}  // namespace meshca
