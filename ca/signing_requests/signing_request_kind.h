// CertificateSigningRequests, as a kind of requests that are signed.
#ifndef MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_KIND_H_
#define MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_KIND_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ca/authn/known_pods.h"
#include "ca/request_signing/request_kind.h"
#include "ca/signing_requests/signing_request_judge.h"

namespace meshca {

class SigningRequestKind final : public RequestKind {
 public:
  // `pods` outlives it.
  SigningRequestKind(SigningRules rules, const KnownPods& pods) : rules_(std::move(rules)), pods_(pods) {}

  std::vector<std::string> Versions() const override { return {"v1"}; }
  kubernetes::Resource ResourceOf(absl::string_view version) const override;
  std::vector<std::string> Paths() const override;
  absl::StatusOr<ApiRequestPtr> Read(const kubernetes::PickedFields& object) const override;

  RequestVerdict Judge(const ApiRequest& request, absl::string_view version, absl::Time now) const override;
  // An authority that ends soon, or none, the pipeline knows.
  absl::Status CheckReady(absl::Time) const override { return absl::OkStatus(); }
  std::optional<RequestReply> RefusalOf(const ApiRequest& request, absl::string_view version, const absl::Status& error,
                                        absl::Time now) const override;
  absl::StatusOr<kubernetes::ApiCall> CallToAnswer(const ApiRequest& request, absl::string_view version,
                                                   const IssuedCertificate& issued, absl::Time now) const override;
  bool IsFresh(const IssuedCertificate& issued, absl::Time now) const override;

 private:
  const SigningRules rules_;
  const KnownPods& pods_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_KIND_H_
