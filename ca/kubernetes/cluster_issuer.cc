#include "ca/kubernetes/cluster_issuer.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/jwt/json.h"

namespace meshca::kubernetes {
namespace {

constexpr char kKeysPath[] = "/openid/v1/jwks";
constexpr char kIssuerPath[] = "/.well-known/openid-configuration";

std::string TargetOf(const ApiServerOptions& options, absl::string_view path) {
  return absl::StrCat(absl::StripSuffix(options.url.target, "/"), path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterIssuer>> ClusterIssuer::Open(ApiServerOptions options,
                                                                   JwksSourceOptions intervals) {
  http::ClientOptions client;
  client.tls = options.tls;
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<http::Client> made, http::Client::Create(std::move(client)));
  auto issuer = std::unique_ptr<ClusterIssuer>(new ClusterIssuer(std::move(options), std::move(made)));
  JwksLocation location;
  location.url = absl::StrCat(issuer->options_.url.Origin(), TargetOf(issuer->options_, kKeysPath));
  intervals.get = [raw = issuer.get()](const std::string&) { return raw->FetchBoth(); };
  MESHCA_ASSIGN_OR_RETURN(issuer->keys_, OpenJwksSource(location, std::move(intervals)));
  return issuer;
}

ClusterIssuer::ClusterIssuer(ApiServerOptions options, std::unique_ptr<http::Client> client)
    : options_(std::move(options)), client_(std::move(client)) {}

ClusterIssuer::~ClusterIssuer() { Stop(); }

std::string ClusterIssuer::issuer() const {
  MutexLock lock(mutex_);
  return issuer_;
}

void ClusterIssuer::Stop() {
  client_->Stop();  // ends the look that is under way, which keys_ waits for
  if (keys_ != nullptr) keys_->Stop();
}

absl::StatusOr<std::string> ClusterIssuer::FetchBoth() {
  MESHCA_ASSIGN_OR_RETURN(const std::string text, Fetch(kIssuerPath));
  const absl::StatusOr<JsonValue> document = ParseJson(text);
  if (!document.ok()) return Annotate(document.status(), absl::StrCat(options_.url.Origin(), kIssuerPath));
  std::string name(document->FindText("issuer"));
  if (name.empty()) {
    return absl::UnavailableError(absl::StrCat(options_.url.Origin(), kIssuerPath, ": it names no issuer"));
  }
  {
    MutexLock lock(mutex_);
    issuer_ = std::move(name);
  }
  return Fetch(kKeysPath);
}

absl::StatusOr<std::string> ClusterIssuer::Fetch(absl::string_view path) {
  http::ClientRequest request;
  request.url = options_.url;
  request.url.target = TargetOf(options_, path);
  // The keys are served as this type alone.
  request.headers.Add("Accept", "application/jwk-set+json, application/json");
  if (!options_.token.empty()) {
    MESHCA_ASSIGN_OR_RETURN(const SecretBytes token, options_.token.Read(FileSecrecy::kPublic));
    request.headers.Add("Authorization", absl::StrCat("Bearer ", absl::StripAsciiWhitespace(token.reveal())));
  }
  http::CallOptions limits;
  limits.body_bytes_max = Jwks::kBytesMax;
  limits.body_of_200_only = true;
  const absl::StatusOr<http::Response> response = client_->Fetch(std::move(request), limits);
  const std::string what = absl::StrCat("GET ", options_.url.Origin(), path);
  if (!response.ok()) return absl::UnavailableError(absl::StrCat(what, ": ", response.status().message()));
  if (response->status == 401 || response->status == 403) {
    return absl::UnavailableError(absl::StrCat(what, ": HTTP status ", response->status,
                                               "; bind ClusterRole system:service-account-issuer-discovery to the "
                                               "service account of meshca"));
  }
  if (response->status != 200) return absl::UnavailableError(absl::StrCat(what, ": HTTP status ", response->status));
  return response->body;
}

}  // namespace meshca::kubernetes
