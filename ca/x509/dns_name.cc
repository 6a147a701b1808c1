#include "ca/x509/dns_name.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kDnsNameBytesMax = 253;
constexpr size_t kDnsLabelBytesMax = 63;
// Of a name that is none, so much is quoted.
constexpr size_t kQuotedBytesMax = 300;

bool IsDnsLabel(absl::string_view label) {
  if (label.empty() || label.size() > kDnsLabelBytesMax || label.front() == '-' || label.back() == '-') return false;
  // The underscore is no letter of a host name, but service names in the wild carry it.
  return std::all_of(label.begin(), label.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

}  // namespace

absl::Status CheckDnsName(absl::string_view name) {
  const auto bad = [name] {
    return WithReason(absl::InvalidArgumentError(
                          absl::StrCat("not a DNS name: \"", absl::CHexEscape(name.substr(0, kQuotedBytesMax)), "\"")),
                      "DNS_NAME_INVALID");
  };
  if (name.empty() || name.size() > kDnsNameBytesMax) return bad();
  absl::string_view rest = name;
  if (rest.substr(0, 2) == "*.") rest.remove_prefix(2);
  for (;;) {
    const size_t dot = rest.find('.');
    if (!IsDnsLabel(rest.substr(0, dot))) return bad();
    if (dot == absl::string_view::npos) return absl::OkStatus();
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace meshca
