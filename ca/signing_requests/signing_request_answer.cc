#include "ca/signing_requests/signing_request_answer.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"

namespace meshca {
namespace {

constexpr size_t kSigningMessageBytesMax = 4096;

kubernetes::ApiCall PatchOf(const SigningRequest& request, absl::string_view subresource, absl::string_view change) {
  kubernetes::ApiCall call = kubernetes::CallToGet(SigningRequests(), "", request.name);
  call.verb = "patch";
  call.subresource = std::string(subresource);
  call.query = "fieldManager=meshca";
  call.content_type = "application/json-patch+json";
  call.body = absl::StrCat(R"([{"op":"test","path":"/metadata/uid","value":)", JsonString(request.uid),
                           R"(},{"op":"test","path":"/metadata/resourceVersion","value":)",
                           JsonString(request.resource_version), "},", change, "]");
  return call;
}

// A member of an array that is not there cannot be added.
std::string AddCondition(const SigningRequest& request, absl::string_view type, const SigningReason& why) {
  const std::string condition =
      absl::StrCat(R"({"type":")", type, R"(","status":"True","reason":)", JsonString(why.reason), R"(,"message":)",
                   JsonString(why.message.substr(0, kSigningMessageBytesMax)), "}");
  return request.has_conditions ? absl::StrCat(R"({"op":"add","path":"/status/conditions/-","value":)", condition, "}")
                                : absl::StrCat(R"({"op":"add","path":"/status/conditions","value":[)", condition, "]}");
}

}  // namespace

kubernetes::ApiCall CallToApprove(const SigningRequest& request, const SigningReason& why) {
  return PatchOf(request, "approval", AddCondition(request, "Approved", why));
}

kubernetes::ApiCall CallToRefuse(const SigningRequest& request, const SigningReason& why) {
  return request.is_approved ? PatchOf(request, "status", AddCondition(request, "Failed", why))
                             : PatchOf(request, "approval", AddCondition(request, "Denied", why));
}

kubernetes::ApiCall CallToHandOut(const SigningRequest& request, absl::string_view chain_pem) {
  return PatchOf(
      request, "status",
      absl::StrCat(R"({"op":"add","path":"/status/certificate","value":")", absl::Base64Escape(chain_pem), R"("})"));
}

}  // namespace meshca
