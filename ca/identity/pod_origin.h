// The origin of a right that a Kubernetes pod, or the token of a service account, gave.
#ifndef MESHCA_CA_IDENTITY_POD_ORIGIN_H_
#define MESHCA_CA_IDENTITY_POD_ORIGIN_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/identity/origin.h"

namespace meshca {

// What must still be there when a certificate that somebody got by such a token, or a kubelet for its pod, is renewed
// by mTLS. A value; no part of it holds a blank, but for the issuer.
struct PodOrigin {
  // In the issuer's place where no token was shown: the pod itself gave the right, by a PodCertificateRequest.
  static constexpr absl::string_view kNoToken = "pod-certificate-request";
  // In the issuer's place of what was asked for by a CertificateSigningRequest.
  static constexpr absl::string_view kSigningRequest = "certificate-signing-request";

  // The service account that the identity is of.
  std::string namespace_name;
  std::string account;
  // Of the service account of the token, which is that one, or the one of a node's proxy that asked on its behalf.
  std::string account_uid;
  std::string pod_uid;  // that the token was bound to; "": to none, so that only the account has to be there
  std::string issuer;   // of the token, or one of the words above

  // As the store keeps it.
  Origin ToOrigin() const;
  // Nothing: the origin is of another kind, or no version of meshca wrote it.
  static std::optional<PodOrigin> From(const Origin& origin);

  friend bool operator==(const PodOrigin&, const PodOrigin&) = default;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_POD_ORIGIN_H_
