#include "ca/kubernetes/cluster_issuer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/json/json_value.h"
#include "ca/kubernetes/api_call.h"

namespace meshca::kubernetes {
namespace {

constexpr char kKeysPath[] = "/openid/v1/jwks";
constexpr char kIssuerPath[] = "/.well-known/openid-configuration";
// The keys are served as the first alone.
constexpr char kMediaTypes[] = "application/jwk-set+json, application/json";
constexpr absl::Duration kTimeout = absl::Seconds(10);

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterIssuer>> ClusterIssuer::Open(ApiServerOptions options,
                                                                   JwksSourceOptions intervals) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<ApiServer> server, ApiServer::Create(std::move(options)));
  JwksLocation location;
  const http::Url& url = server->options().url;
  location.url = absl::StrCat(url.Origin(), absl::StripSuffix(url.target, "/"), kKeysPath);
  auto issuer = std::unique_ptr<ClusterIssuer>(new ClusterIssuer(std::move(server)));
  intervals.get = [raw = issuer.get()](const std::string&) { return raw->FetchBoth(); };
  MESHCA_ASSIGN_OR_RETURN(issuer->keys_, OpenJwksSource(location, std::move(intervals)));
  return issuer;
}

ClusterIssuer::~ClusterIssuer() { Stop(); }

std::string ClusterIssuer::issuer() const {
  MutexLock lock(mutex_);
  return issuer_;
}

void ClusterIssuer::ServerReturned() {
  if (!keys_->Report().error.empty()) keys_->Refresh([](const absl::Status&) {});
}

void ClusterIssuer::Stop() {
  server_->Stop();  // ends the look that is under way, which keys_ waits for
  if (keys_ != nullptr) keys_->Stop();
}

absl::StatusOr<std::string> ClusterIssuer::FetchBoth() {
  MESHCA_ASSIGN_OR_RETURN(const std::string text, Fetch(kIssuerPath));
  const absl::StatusOr<JsonValue> document = ParseJson(text);
  if (!document.ok()) return Annotate(document.status(), absl::StrCat(server_->options().url.Origin(), kIssuerPath));
  std::string name(document->FindText("issuer"));
  if (name.empty()) {
    return absl::UnavailableError(absl::StrCat(server_->options().url.Origin(), kIssuerPath, ": it names no issuer"));
  }
  {
    MutexLock lock(mutex_);
    issuer_ = std::move(name);
  }
  return Fetch(kKeysPath);
}

absl::StatusOr<std::string> ClusterIssuer::Fetch(absl::string_view path) {
  absl::StatusOr<std::string> body = server_->Call(CallToGetPath(path, kMediaTypes), Jwks::kBytesMax, kTimeout);
  if (!absl::IsPermissionDenied(body.status())) return body;
  return absl::UnavailableError(absl::StrCat(body.status().message(),
                                             "; or bind ClusterRole system:service-account-issuer-discovery to the "
                                             "service account of meshca"));
}

}  // namespace meshca::kubernetes
