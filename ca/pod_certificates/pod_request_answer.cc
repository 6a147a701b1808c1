#include "ca/pod_certificates/pod_request_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

// The API server takes 32 KiB.
constexpr size_t kMessageBytesMax = 4096;

std::string Condition(absl::string_view type, absl::string_view reason, absl::string_view message, absl::Time now) {
  return absl::StrCat(R"("conditions":[{"type":")", type, R"(","status":"True","reason":)", JsonString(reason),
                      R"(,"message":)", JsonString(message.substr(0, kMessageBytesMax)), R"(,"lastTransitionTime":")",
                      Rfc3339Text(now), R"("}])");
}

// The API server takes the spec from what it has, and refuses the call where uid or version are not those.
kubernetes::ApiCall CallWith(absl::string_view version, const PodRequest& request, absl::string_view status) {
  std::string body =
      absl::StrCat(R"({"apiVersion":"certificates.k8s.io/)", version,
                   R"(","kind":"PodCertificateRequest","metadata":{"name":)", JsonString(request.name),
                   R"(,"namespace":)", JsonString(request.namespace_name), R"(,"uid":)", JsonString(request.uid),
                   R"(,"resourceVersion":)", JsonString(request.resource_version), R"(},"status":{)", status, "}}");
  return kubernetes::CallToUpdateStatus(PodCertificateRequests(version), request.namespace_name, request.name,
                                        std::move(body));
}

}  // namespace

kubernetes::ApiCall CallToIssue(absl::string_view version, const PodRequest& request, const PodCertificate& certificate,
                                absl::Time now) {
  return CallWith(
      version, request,
      absl::StrCat(Condition("Issued", "Issued", "signed by meshca", now), R"(,"certificateChain":)",
                   JsonString(certificate.chain_pem), R"(,"notBefore":")", Rfc3339Text(certificate.validity.not_before),
                   R"(","notAfter":")", Rfc3339Text(certificate.validity.not_after), R"(","beginRefreshAt":")",
                   Rfc3339Text(certificate.begin_refresh_at), R"(")"));
}

kubernetes::ApiCall CallToDeny(absl::string_view version, const PodRequest& request, const PodDenial& denial,
                               absl::Time now) {
  return CallWith(version, request, Condition("Denied", denial.reason, denial.message, now));
}

}  // namespace meshca
