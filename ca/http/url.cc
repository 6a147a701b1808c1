#include "ca/http/url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meshca::http {
namespace {

constexpr size_t kBytesMax = 2048;

// Splits "host:port" or "[v6]:port"; the port stays as it is without one.
bool SplitAuthority(absl::string_view authority, Url& url) {
  absl::string_view port;
  if (absl::StartsWith(authority, "[")) {
    const size_t end = authority.find(']');
    if (end == absl::string_view::npos) return false;
    url.host = std::string(authority.substr(1, end - 1));
    authority.remove_prefix(end + 1);
    if (!authority.empty() && !absl::ConsumePrefix(&authority, ":")) return false;
    port = authority;
  } else {
    const size_t colon = authority.find(':');
    url.host = std::string(authority.substr(0, colon));
    if (colon != absl::string_view::npos) port = authority.substr(colon + 1);
    if (colon != absl::string_view::npos && port.empty()) return false;
  }
  if (!port.empty() && (!std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
                        !absl::SimpleAtoi(port, &url.port) || url.port < 1 || url.port > 65535)) {
    return false;
  }
  return !url.host.empty();
}

}  // namespace

absl::StatusOr<Url> Url::Parse(absl::string_view text) {
  auto wrong = [text](absl::string_view fault) {
    return absl::InvalidArgumentError(absl::StrCat("URL \"", absl::CHexEscape(text.substr(0, 200)), "\": ", fault));
  };
  if (text.size() > kBytesMax) return wrong("is longer than 2048 bytes");
  if (!std::all_of(text.begin(), text.end(), absl::ascii_isgraph)) return wrong("holds a byte that no URL has");
  Url url;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "http://")) {
    url.https = false;
    url.port = 80;
  } else if (!absl::ConsumePrefix(&rest, "https://")) {
    return wrong("expects https://HOST/PATH");
  }
  if (absl::StrContains(rest, "#")) return wrong("has a fragment (#)");
  const size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  const absl::string_view authority = rest.substr(0, slash);
  url.target = absl::StrCat(slash < rest.size() && rest[slash] == '?' ? "/" : "", rest.substr(slash));
  if (url.target.empty()) url.target = "/";
  if (absl::StrContains(authority, "@")) return wrong("holds a user name or password");
  if (!SplitAuthority(authority, url)) return wrong("has no host, or a port outside 1-65535");
  return url;
}

std::string Url::HostHeader() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  const bool usual_port = port == (https ? 443 : 80);
  return absl::StrCat(is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", usual_port ? "" : absl::StrCat(":", port));
}

std::string Url::Origin() const { return absl::StrCat(https ? "https" : "http", "://", HostHeader()); }

}  // namespace meshca::http
