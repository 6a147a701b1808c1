#include "ca/base/typed_address.h"

#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meshca {

absl::StatusOr<std::string> WithoutScheme(absl::string_view typed, absl::string_view scheme) {
  const auto wrong = [typed, scheme](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", typed, "\" ", what, "; write HOST:PORT, or ", scheme, "://HOST:PORT"));
  };
  absl::string_view rest = typed;
  const size_t mark = rest.find("://");
  if (mark != absl::string_view::npos) {
    const std::string given = absl::AsciiStrToLower(rest.substr(0, mark));
    if (given != scheme) {
      if (given == "http") return wrong("is plain HTTP, and only TLS is spoken there");
      if (given == "https") return wrong("is HTTPS, and only plain HTTP is spoken there");
      return wrong(absl::StrCat("begins with ", given, "://, which is no way to reach it"));
    }
    rest.remove_prefix(mark + 3);
    absl::ConsumeSuffix(&rest, "/");
  }
  const size_t end = rest.find_first_of("/?#");
  if (end != absl::string_view::npos) {
    return wrong(absl::StrCat("has a path, \"", rest.substr(end), "\", and an address is a host and a port alone"));
  }
  return std::string(rest);
}

bool IsIpAddress(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace meshca
