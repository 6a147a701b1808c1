#include "ca/authn/fetch_url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Loopback by address alone: a name could resolve to anything, but for the one that RFC 6761 §6.3 reserves.
bool IsLoopback(absl::string_view host) {
  return host == "localhost" || host == "::1" ||
         (absl::StartsWith(host, "127.") &&
          std::all_of(host.begin(), host.end(), [](char c) { return c == '.' || absl::ascii_isdigit(c); }));
}

}  // namespace

absl::StatusOr<http::Url> ParseFetchUrl(absl::string_view text) {
  MESHCA_ASSIGN_OR_RETURN(http::Url url, http::Url::Parse(text));
  if (url.https || IsLoopback(url.host)) return url;
  return absl::InvalidArgumentError(absl::StrCat(
      "URL \"", absl::CHexEscape(text.substr(0, 200)),
      "\": is http to another machine; keys are fetched over https (http is for 127.0.0.1, ::1 and localhost)"));
}

}  // namespace meshca
