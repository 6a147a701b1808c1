#include "cli/client/address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"

namespace meshca::cli {

absl::StatusOr<std::string> ParseAddress(absl::string_view typed) {
  MESHCA_ASSIGN_OR_RETURN(std::string address, WithoutScheme(typed, "https"));
  uint32_t port = 0;
  const std::string host = HostOf(address);
  if (host.empty() || !absl::SimpleAtoi(PortOf(address), &port) || port == 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\" is no address; write HOST:PORT, as in ca.example:15012 or [::1]:15012"));
  }
  if (host.find(':') != std::string::npos && address.front() != '[') {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\": put an IPv6 address in brackets, [::1]:15012"));
  }
  return address;
}

std::string HostOf(absl::string_view address) {
  const size_t colon = address.rfind(':');
  absl::string_view host = address.substr(0, colon);
  if (colon == absl::string_view::npos) return "";
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::string(host);
}

std::string PortOf(absl::string_view address) {
  const size_t colon = address.rfind(':');
  return colon == absl::string_view::npos ? "" : std::string(address.substr(colon + 1));
}

}  // namespace meshca::cli
