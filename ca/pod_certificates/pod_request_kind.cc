#include "ca/pod_certificates/pod_request_kind.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/pod_certificates/denial_event.h"
#include "ca/pod_certificates/pod_certificate_terms.h"
#include "ca/pod_certificates/pod_request.h"
#include "ca/pod_certificates/pod_request_judge.h"
#include "ca/request_signing/checked_chain.h"

namespace meshca {
namespace {

// A certificate that could not be written is written again while the API server would still take it: kNotBeforeNear,
// and a little less.
constexpr absl::Duration kWritable = absl::Seconds(285);

const PodRequest& ToPodRequest(const ApiRequest& request) { return static_cast<const PodRequest&>(request); }

RequestReply ReplyOf(absl::string_view version, const PodRequest& request, const PodDenial& denial, absl::Time now) {
  return {CallToDeny(version, request, denial, now), absl::StrCat(denial.reason, ": ", denial.message)};
}

}  // namespace

PodRequestKind::PodRequestKind(std::vector<std::string> versions, ServiceAccountTemplate spiffe_id,
                               CertificateProfile profile, Parts parts)
    : versions_(std::move(versions)), spiffe_id_(std::move(spiffe_id)), profile_(std::move(profile)), parts_(parts) {}

kubernetes::Resource PodRequestKind::ResourceOf(absl::string_view version) const {
  return PodCertificateRequests(version);
}

std::vector<std::string> PodRequestKind::Paths() const { return PodRequestPaths(); }

absl::StatusOr<ApiRequestPtr> PodRequestKind::Read(const kubernetes::PickedFields& object) const {
  MESHCA_ASSIGN_OR_RETURN(PodRequest request, ReadPodRequest(object));
  request.looks_before = parts_.admission.looks();
  return std::make_shared<const PodRequest>(std::move(request));
}

std::string PodRequestKind::ShownBetterBy(const ApiRequest& request) const {
  return ToPodRequest(request).HasKey() ? "" : "v1beta1";
}

RequestVerdict PodRequestKind::Judge(const ApiRequest& request, absl::string_view version, absl::Time now) const {
  const PodRequest& pod_request = ToPodRequest(request);
  if (!parts_.admission.Covers(pod_request.looks_before)) return {.kind = RequestVerdict::Kind::kSoon};
  PodFacts facts = FactsOf(pod_request, parts_.pods);
  facts.guarded_since = parts_.admission.guarded_since();
  PodVerdict verdict = JudgePodRequest(pod_request, facts, spiffe_id_, profile_, now);
  switch (verdict.kind) {
    case PodVerdict::Kind::kWait: break;
    case PodVerdict::Kind::kForget: return {.kind = RequestVerdict::Kind::kForget, .why = std::move(verdict.why)};
    case PodVerdict::Kind::kDeny:
      return {.kind = RequestVerdict::Kind::kRefuse, .reply = ReplyOf(version, pod_request, verdict.denial, now)};
    case PodVerdict::Kind::kAwait: return {.kind = RequestVerdict::Kind::kAwait, .why = std::move(verdict.why)};
    case PodVerdict::Kind::kSign:
      return {.kind = RequestVerdict::Kind::kSign, .submitted = std::move(verdict.submitted)};
  }
  return {.kind = RequestVerdict::Kind::kWait, .why = std::move(verdict.why)};
}

absl::Status PodRequestKind::CheckReady(absl::Time now) const {
  return CheckAuthorityLasts(*parts_.authorities.Current(), profile_, now);
}

std::optional<RequestReply> PodRequestKind::RefusalOf(const ApiRequest& request, absl::string_view version,
                                                      const absl::Status& error, absl::Time now) const {
  const std::optional<PodDenial> denial = DenialOf(error, profile_);
  if (!denial.has_value()) return std::nullopt;
  return ReplyOf(version, ToPodRequest(request), *denial, now);
}

void PodRequestKind::OnRefused(const ApiRequest& request, absl::string_view version, const std::string& why) const {
  TellDenied(version, ToPodRequest(request), why, parts_.pods, parts_.events);
}

absl::StatusOr<kubernetes::ApiCall> PodRequestKind::CallToAnswer(const ApiRequest& request, absl::string_view version,
                                                                 const IssuedCertificate& issued,
                                                                 absl::Time now) const {
  const PodRequest& pod_request = ToPodRequest(request);
  MESHCA_ASSIGN_OR_RETURN(const Validity validity, CheckedValidityOf(issued, now));
  MESHCA_RETURN_IF_ERROR(CheckPodValidity(validity, pod_request.max_expiration, now));
  const PodCertificate certificate{issued.chain.ToPem(), validity,
                                   BeginRefreshAt(validity, RootIsBeingLeft(*issued.authorities))};
  return CallToIssue(version, pod_request, certificate, now);
}

bool PodRequestKind::IsFresh(const IssuedCertificate& issued, absl::Time now) const {
  return now - issued.record->not_before < kWritable;
}

}  // namespace meshca
