#include "ca/authn/http_get.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authn/fetch_url.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// kube-apiserver serves its keys as application/jwk-set+json alone and answers 406 to who does not ask for that; most
// others serve application/json. What an answer calls itself is not looked at: its bytes are judged.
constexpr char kAccept[] = "application/jwk-set+json, application/json";

}  // namespace

absl::StatusOr<std::string> HttpGet(http::Client& client, const std::string& url, const HttpGetOptions& options) {
  http::ClientRequest request;
  MESHCA_ASSIGN_OR_RETURN(request.url, ParseFetchUrl(url));
  request.headers = {{"Accept", kAccept}};
  http::CallOptions limits;
  limits.timeout = options.timeout;
  limits.body_bytes_max = options.bytes_max;
  limits.body_of_200_only = true;
  absl::StatusOr<http::Response> response = client.Fetch(std::move(request), limits);
  auto failed = [&url](absl::string_view why) { return absl::UnavailableError(absl::StrCat("GET ", url, ": ", why)); };
  if (!response.ok()) return failed(response.status().message());
  if (response->status != 200) return failed(absl::StrCat("HTTP status ", response->status));
  return std::move(response->body);
}

}  // namespace meshca
