#include "sds/workload_service.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sds/workload_jwt.h"
#include "sds/workload_request.h"
#include "sds/workload_stream.h"

namespace meshca::sds {
namespace {

// A client that does not read gets the newest state when it does, so one message waits at most.
constexpr rpc::StreamOptions kWorkloadStreamOptions{
    .message_bytes_max = kPlainRequestBytesMax, .queue_messages_max = 1, .queue_bytes_max = 256 * 1024};
constexpr rpc::UnaryOptions kJwtOptions{.request_bytes_max = kJwtRequestBytesMax};

std::string PathOf(absl::string_view method) { return absl::StrCat("/", kWorkloadServiceName, "/", method); }

// `make` makes the handler of a stream whose client sent the security header.
template <typename Make>
void AddWorkloadStream(rpc::Router& router, absl::string_view method, Make make) {
  router.AddStream(
      PathOf(method),
      [make = std::move(make)](rpc::Stream& stream) -> std::unique_ptr<rpc::StreamHandler> {
        if (const absl::Status header = CheckSecurityHeader(stream.client_metadata()); !header.ok()) {
          stream.Finish(header);
          return nullptr;
        }
        return make(stream);
      },
      kWorkloadStreamOptions);
}

}  // namespace

WorkloadService::WorkloadService(SecretHub& hub, JwtSource* jwt) : hub_(hub), jwt_(jwt), pool_({.what = "JWT-SVIDs"}) {}

void WorkloadService::AddTo(rpc::Router& router) {
  AddWorkloadStream(router, "FetchX509SVID",
                    [this](rpc::Stream& stream) { return std::make_unique<X509SvidStream>(stream, hub_, responses_); });
  AddWorkloadStream(router, "FetchX509Bundles", [this](rpc::Stream& stream) {
    return std::make_unique<WorkloadBundleStream>(stream, hub_, WorkloadBundleStream::Kind::kX509);
  });
  AddWorkloadStream(router, "FetchJWTBundles", [this](rpc::Stream& stream) {
    return std::make_unique<WorkloadBundleStream>(stream, hub_, WorkloadBundleStream::Kind::kJwt);
  });
  const WorkloadJwtParts parts = {&hub_, &pool_, jwt_};
  router.AddUnary(
      PathOf("FetchJWTSVID"), [parts](std::shared_ptr<rpc::Call> call) { FetchJwtSvids(parts, std::move(call)); },
      kJwtOptions);
  router.AddUnary(
      PathOf("ValidateJWTSVID"),
      [parts](std::shared_ptr<rpc::Call> call) { ValidateJwtSvidFor(parts, std::move(call)); }, kJwtOptions);
}

}  // namespace meshca::sds
