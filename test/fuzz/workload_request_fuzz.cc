// Any bytes as a request of the SPIFFE Workload API: what is read is within its bounds, anything else an
// InvalidArgument. The first byte chooses the request.
// Links: sds proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/jwt/jwt_svid.h"
#include "sds/workload_request.h"
#include "spiffe/workload/workload.pb.h"

namespace {

void CheckRefusal(const absl::Status& status) {
  MESHCA_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  MESHCA_CHECK(status.message().size() < 4096);
}

void CheckJwtSvidRequest(absl::string_view bytes) {
  const auto ask = meshca::sds::ReadJwtSvidRequest(bytes);
  if (!ask.ok()) return CheckRefusal(ask.status());
  MESHCA_CHECK(!ask->audiences.empty() && ask->audiences.size() <= meshca::kJwtAudiencesMax);
  MESHCA_CHECK(meshca::CheckJwtAudiences(ask->audiences).ok());
  MESHCA_CHECK(!ask->id.has_value() || ask->id->has_path());
  // What was read, written anew, reads as the same.
  JWTSVIDRequest again;
  for (const std::string& audience : ask->audiences) again.add_audience(audience);
  if (ask->id.has_value()) again.set_spiffe_id(ask->id->uri());
  const auto second = meshca::sds::ReadJwtSvidRequest(again.SerializeAsString());
  MESHCA_CHECK(second.ok() && second->audiences == ask->audiences && second->id == ask->id);
}

void CheckValidateRequest(absl::string_view bytes) {
  const auto ask = meshca::sds::ReadValidateRequest(bytes);
  if (!ask.ok()) return CheckRefusal(ask.status());
  MESHCA_CHECK(!ask->audience.empty() && ask->audience.size() <= meshca::kJwtAudienceBytesMax);
  MESHCA_CHECK(!ask->token.empty());
  // Nobody's keys are known: whatever the token says, it is refused.
  const auto keys_of = [](const meshca::TrustDomain&) { return nullptr; };
  const auto valid = meshca::ValidateJwtSvid(ask->token, ask->audience, keys_of, absl::FromUnixSeconds(1767323045));
  MESHCA_CHECK(valid.status().code() == absl::StatusCode::kUnauthenticated);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'j': CheckJwtSvidRequest(bytes); break;
    case 'v': CheckValidateRequest(bytes); break;
    default:
      if (const absl::Status read = meshca::sds::ReadPlainRequest(bytes); !read.ok()) CheckRefusal(read);
  }
  return 0;
}
