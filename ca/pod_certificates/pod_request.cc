#include "ca/pod_certificates/pod_request.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// In the order of PodRequestPaths.
enum RequestField {
  kNamespace,
  kName,
  kUid,
  kResourceVersion,
  kSignerName,
  kPodName,
  kPodUid,
  kAccount,
  kAccountUid,
  kNode,
  kMaxExpiration,
  kUserAnnotations,
  kStubPkcs10,
  kPkixPublicKey,
  kProofOfPossession,
  kConditions,
  kCreated,
};

// What the API server puts there where the kubelet named none.
constexpr absl::Duration kMaxExpirationDefault = absl::Hours(24);

absl::Status Unreadable(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("PodCertificateRequest: ", field, " ", why));
}

absl::Status ReadBytes(const kubernetes::PickedFields& object, RequestField field, std::string& bytes) {
  if (absl::Base64Unescape(object.Text(field), &bytes)) return absl::OkStatus();
  return Unreadable(PodRequestPaths()[field], "is no base64");
}

}  // namespace

std::string PodRequest::Text() const {
  return absl::StrCat("PodCertificateRequest ", namespace_name, "/", name, " of pod ", pod_name);
}

kubernetes::Resource PodCertificateRequests(absl::string_view version) {
  return {"certificates.k8s.io", std::string(version), "podcertificaterequests"};
}

std::vector<std::string> PodRequestPaths() {
  return {"metadata.namespace",
          "metadata.name",
          "metadata.uid",
          "metadata.resourceVersion",
          "spec.signerName",
          "spec.podName",
          "spec.podUID",
          "spec.serviceAccountName",
          "spec.serviceAccountUID",
          "spec.nodeName",
          "spec.maxExpirationSeconds",
          "spec.unverifiedUserAnnotations.*",
          "spec.stubPKCS10Request",
          "spec.pkixPublicKey",
          "spec.proofOfPossession",
          "status.conditions[].type",
          "metadata.creationTimestamp"};
}

absl::StatusOr<PodRequest> ReadPodRequest(const kubernetes::PickedFields& object) {
  PodRequest request;
  const std::pair<RequestField, std::string*> texts[] = {{kNamespace, &request.namespace_name},
                                                         {kName, &request.name},
                                                         {kUid, &request.uid},
                                                         {kResourceVersion, &request.resource_version},
                                                         {kSignerName, &request.signer_name},
                                                         {kPodName, &request.pod_name},
                                                         {kPodUid, &request.pod_uid},
                                                         {kAccount, &request.account},
                                                         {kAccountUid, &request.account_uid},
                                                         {kNode, &request.node}};
  for (const auto& [field, text] : texts) {
    *text = std::string(object.Text(field));
    if (text->empty()) return Unreadable(PodRequestPaths()[field], "is empty");
  }
  std::string ignored;
  if (!absl::ParseTime(absl::RFC3339_full, object.Text(kCreated), &request.created, &ignored)) {
    return Unreadable(PodRequestPaths()[kCreated], "is no time");
  }
  request.max_expiration = kMaxExpirationDefault;
  if (const absl::string_view seconds = object.Text(kMaxExpiration); !seconds.empty()) {
    int32_t number = 0;
    if (!absl::SimpleAtoi(seconds, &number)) return Unreadable(PodRequestPaths()[kMaxExpiration], "is no number");
    request.max_expiration = absl::Seconds(number);
  }
  for (const auto& [name, text] : object.All(kUserAnnotations)) request.user_annotations.push_back(name);
  std::sort(request.user_annotations.begin(), request.user_annotations.end());
  MESHCA_RETURN_IF_ERROR(ReadBytes(object, kStubPkcs10, request.stub_pkcs10));
  MESHCA_RETURN_IF_ERROR(ReadBytes(object, kPkixPublicKey, request.pkix_public_key));
  MESHCA_RETURN_IF_ERROR(ReadBytes(object, kProofOfPossession, request.proof_of_possession));
  // Only this node's own kubelet can have made it. Whose pod it is for is the kubelet's word; but whoever makes pods
  // there makes it ask as often as he likes.
  request.asker = {absl::StrCat("node ", request.node), request.namespace_name, request.account};
  for (const auto& [name, type] : object.All(kConditions)) {
    if (type == "Issued" || type == "Denied" || type == "Failed") request.is_answered = true;
  }
  return request;
}

}  // namespace meshca
