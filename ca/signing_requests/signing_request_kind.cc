#include "ca/signing_requests/signing_request_kind.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/request_signing/checked_chain.h"
#include "ca/signing_requests/signing_request.h"
#include "ca/signing_requests/signing_request_answer.h"

namespace meshca {
namespace {

// A certificate that could not be written in this time is old news: somebody may have taken its right back.
constexpr absl::Duration kHandedOutWithin = absl::Minutes(5);

const SigningRequest& ToSigningRequest(const ApiRequest& request) {
  return static_cast<const SigningRequest&>(request);
}

RequestReply RefusalReply(const SigningRequest& request, const SigningReason& why) {
  return {CallToRefuse(request, why), absl::StrCat(why.reason, ": ", why.message)};
}

}  // namespace

kubernetes::Resource SigningRequestKind::ResourceOf(absl::string_view) const { return SigningRequests(); }

std::vector<std::string> SigningRequestKind::Paths() const { return SigningRequestPaths(); }

absl::StatusOr<ApiRequestPtr> SigningRequestKind::Read(const kubernetes::PickedFields& object) const {
  MESHCA_ASSIGN_OR_RETURN(SigningRequest request, ReadSigningRequest(object));
  return std::make_shared<const SigningRequest>(std::move(request));
}

RequestVerdict SigningRequestKind::Judge(const ApiRequest& request, absl::string_view, absl::Time now) const {
  const SigningRequest& asked = ToSigningRequest(request);
  SigningVerdict verdict = JudgeSigningRequest(asked, pods_, rules_, now);
  std::string& message = verdict.why.message;
  switch (verdict.kind) {
    case SigningVerdict::Kind::kSign:
      return {.kind = RequestVerdict::Kind::kSign, .submitted = std::move(verdict.submitted)};
    case SigningVerdict::Kind::kApprove:
      return {.kind = RequestVerdict::Kind::kApprove, .reply = {CallToApprove(asked, verdict.why), message}};
    case SigningVerdict::Kind::kRefuse:
      return {.kind = RequestVerdict::Kind::kRefuse, .reply = RefusalReply(asked, verdict.why)};
    case SigningVerdict::Kind::kAwait: return {.kind = RequestVerdict::Kind::kAwait, .why = std::move(message)};
    case SigningVerdict::Kind::kForget: return {.kind = RequestVerdict::Kind::kForget, .why = std::move(message)};
    case SigningVerdict::Kind::kWait: break;
  }
  return {.kind = RequestVerdict::Kind::kWait, .why = std::move(message)};
}

std::optional<RequestReply> SigningRequestKind::RefusalOf(const ApiRequest& request, absl::string_view,
                                                          const absl::Status& error, absl::Time) const {
  const std::optional<SigningReason> why = SigningRefusalOf(error);
  if (!why.has_value()) return std::nullopt;
  return RefusalReply(ToSigningRequest(request), *why);
}

absl::StatusOr<kubernetes::ApiCall> SigningRequestKind::CallToAnswer(const ApiRequest& request, absl::string_view,
                                                                     const IssuedCertificate& issued,
                                                                     absl::Time now) const {
  MESHCA_RETURN_IF_ERROR(CheckedValidityOf(issued, now).status());
  return CallToHandOut(ToSigningRequest(request), issued.chain.ToPem());
}

bool SigningRequestKind::IsFresh(const IssuedCertificate& issued, absl::Time now) const {
  return now - issued.record->issued_at < kHandedOutWithin;
}

}  // namespace meshca
