// PodCertificateRequests, as a kind of requests that are signed.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_KIND_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_KIND_H_

#include <optional>
#include <string>
#include <vector>

#include "ca/authn/known_pods.h"
#include "ca/authn/service_account_template.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/kubernetes/object_event.h"
#include "ca/pod_certificates/admission_watch.h"
#include "ca/pod_certificates/pod_request_answer.h"
#include "ca/request_signing/request_kind.h"

namespace meshca {

// Joins the rules (pod_request_judge.h), the terms (pod_certificate_terms.h) and the answers (pod_request_answer.h).
class PodRequestKind final : public RequestKind {
 public:
  // All outlive it.
  struct Parts {
    AdmissionWatch& admission;  // of which requests no stranger can have made
    const KnownPods& pods;
    const AuthoritySnapshots& authorities;
    kubernetes::EventSink* events;  // is told of requests that are denied; null: nobody is
  };
  // `profile`: PodCertificateProfile.
  PodRequestKind(std::vector<std::string> versions, ServiceAccountTemplate spiffe_id, CertificateProfile profile,
                 Parts parts);

  std::vector<std::string> Versions() const override { return versions_; }
  kubernetes::Resource ResourceOf(absl::string_view version) const override;
  std::vector<std::string> Paths() const override;
  absl::StatusOr<ApiRequestPtr> Read(const kubernetes::PickedFields& object) const override;
  // v1 shows no key of a request in v1beta1's older form.
  std::string ShownBetterBy(const ApiRequest& request) const override;

  RequestVerdict Judge(const ApiRequest& request, absl::string_view version, absl::Time now) const override;
  absl::Status CheckReady(absl::Time now) const override;
  std::optional<RequestReply> RefusalOf(const ApiRequest& request, absl::string_view version, const absl::Status& error,
                                        absl::Time now) const override;
  void OnRefused(const ApiRequest& request, absl::string_view version, const std::string& why) const override;
  absl::StatusOr<kubernetes::ApiCall> CallToAnswer(const ApiRequest& request, absl::string_view version,
                                                   const IssuedCertificate& issued, absl::Time now) const override;
  bool IsFresh(const IssuedCertificate& issued, absl::Time now) const override;

 private:
  const std::vector<std::string> versions_;
  const ServiceAccountTemplate spiffe_id_;
  const CertificateProfile profile_;
  const Parts parts_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_KIND_H_
