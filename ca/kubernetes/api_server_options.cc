#include "ca/kubernetes/api_server_options.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/status.h"

namespace meshca::kubernetes {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

absl::Status CheckServiceAccountFile(const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(path, kFileBytesMax, FileSecrecy::kPublic);
  if (bytes.ok() && !absl::StripAsciiWhitespace(*bytes).empty()) return absl::OkStatus();
  const std::string what = bytes.ok() ? absl::StrCat(path, ": is empty") : std::string(bytes.status().message());
  return absl::FailedPreconditionError(absl::StrCat(
      what,
      ": the pod needs the token of its service account (automountServiceAccountToken: true), or a kubeconfig file"));
}

}  // namespace

absl::StatusOr<ApiServerOptions> InClusterOptions(const std::function<const char*(const char*)>& get_env,
                                                  const std::string& folder) {
  const auto get = [&get_env](const char* name) {
    const char* const value = get_env(name);
    return std::string(value == nullptr ? "" : value);
  };
  const std::string host = get("KUBERNETES_SERVICE_HOST");
  const std::string port = get("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return absl::FailedPreconditionError(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod: name a kubeconfig file");
  }
  ApiServerOptions options;
  const bool is_ipv6 = absl::StrContains(host, ':');
  absl::StatusOr<http::Url> url =
      http::Url::Parse(absl::StrCat("https://", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", ":", port));
  if (!url.ok()) {
    return Annotate(absl::FailedPreconditionError(url.status().message()),
                    "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT");
  }
  options.url = *std::move(url);
  options.tls.ca.file = absl::StrCat(folder, "/ca.crt");
  options.token.file = absl::StrCat(folder, "/token");
  MESHCA_RETURN_IF_ERROR(CheckServiceAccountFile(options.token.file));
  MESHCA_RETURN_IF_ERROR(CheckServiceAccountFile(options.tls.ca.file));
  options.namespace_name = "default";
  const auto named = ReadFile(absl::StrCat(folder, "/namespace"), kFileBytesMax, FileSecrecy::kPublic);
  if (named.ok()) options.namespace_name = std::string(absl::StripAsciiWhitespace(*named));
  options.described = "in-cluster";
  return options;
}

}  // namespace meshca::kubernetes
