#include "ca/signing_requests/signing_request.h"

#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meshca {
namespace {

// In the order of SigningRequestPaths.
enum SigningField {
  kCsrName,
  kCsrUid,
  kCsrResourceVersion,
  kCsrSignerName,
  kCsrPkcs10,
  kCsrUsages,
  kCsrExpiration,
  kCsrUsername,
  kCsrUserUid,
  kCsrPodUid,
  kCsrConditions,
  kCsrCertificate,
};

// Whoever may make service accounts in a namespace has as many as he likes: to others they are one party.
RequestAsker AskerOf(absl::string_view username) {
  absl::string_view account = username;
  if (!absl::ConsumePrefix(&account, "system:serviceaccount:")) return {absl::StrCat("user ", username)};
  const auto [namespace_name, name] =
      std::pair<std::string, std::string>(absl::StrSplit(account, absl::MaxSplits(':', 1)));
  return {absl::StrCat("namespace ", namespace_name), "", name};
}

absl::Status UnreadableSigningRequest(SigningField field, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("CertificateSigningRequest: ", SigningRequestPaths()[field], " ", why));
}

}  // namespace

std::string SigningRequest::Text() const { return absl::StrCat("CertificateSigningRequest ", name, " of ", username); }

kubernetes::Resource SigningRequests() { return {"certificates.k8s.io", "v1", "certificatesigningrequests"}; }

std::vector<std::string> SigningRequestPaths() {
  return {"metadata.name",
          "metadata.uid",
          "metadata.resourceVersion",
          "spec.signerName",
          "spec.request",
          "spec.usages[]",
          "spec.expirationSeconds",
          "spec.username",
          "spec.uid",
          R"(spec.extra.authentication\.kubernetes\.io/pod-uid[])",
          "status.conditions[].type",
          "status.certificate"};
}

absl::StatusOr<SigningRequest> ReadSigningRequest(const kubernetes::PickedFields& object) {
  SigningRequest request;
  const std::pair<SigningField, std::string*> texts[] = {{kCsrName, &request.name},
                                                         {kCsrUid, &request.uid},
                                                         {kCsrResourceVersion, &request.resource_version},
                                                         {kCsrSignerName, &request.signer_name}};
  for (const auto& [field, text] : texts) {
    *text = std::string(object.Text(field));
    if (text->empty()) return UnreadableSigningRequest(field, "is empty");
  }
  const absl::string_view pkcs10 = object.Text(kCsrPkcs10);
  request.is_long = pkcs10.size() / 4 * 3 > SigningRequest::kPkcs10BytesMax;
  if (!request.is_long && !absl::Base64Unescape(pkcs10, &request.pkcs10)) {
    return UnreadableSigningRequest(kCsrPkcs10, "is no base64");
  }
  for (const auto& [name, usage] : object.All(kCsrUsages)) request.usages.push_back(usage);
  if (const absl::string_view seconds = object.Text(kCsrExpiration); !seconds.empty()) {
    int32_t number = 0;
    if (!absl::SimpleAtoi(seconds, &number) || number <= 0) {
      return UnreadableSigningRequest(kCsrExpiration, "is no positive number");
    }
    request.expiration = absl::Seconds(number);
  }
  request.username = std::string(object.Text(kCsrUsername));
  request.user_uid = std::string(object.Text(kCsrUserUid));
  request.asker = AskerOf(request.username);
  request.pod_uid = std::string(object.Text(kCsrPodUid));
  for (const auto& [name, type] : object.All(kCsrConditions)) {
    request.has_conditions = true;
    if (type == "Approved") request.is_approved = true;
    if (type == "Denied" || type == "Failed") request.is_answered = true;
  }
  if (!object.Text(kCsrCertificate).empty()) request.is_answered = true;
  return request;
}

}  // namespace meshca
