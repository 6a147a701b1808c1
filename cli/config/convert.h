// From the configuration's messages to the types of ca/.
#ifndef MESHCA_CLI_CONFIG_CONVERT_H_
#define MESHCA_CLI_CONFIG_CONVERT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authn/jwt_authenticator.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/base/log.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/policy.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/public_key.h"
#include "meshca/config/v1/config.pb.h"

namespace meshca::config {

absl::Duration ToDuration(const google::protobuf::Duration& duration);
// The value is not KEY_TYPE_UNSPECIFIED: resolved configurations hold none.
KeyType ToKeyType(v1::KeyType type);
std::vector<KeyType> ToKeyTypes(const google::protobuf::RepeatedField<int>& types);
LogLevel ToLogLevel(v1::LogLevel level);
LogFormat ToLogFormat(v1::LogFormat format);

// Is HTTP served at all? `http_listen: off` says no.
bool ServesHttp(const v1::Config& config);

// The rules of `policy`. InvalidArgument names the rule by its number.
absl::StatusOr<Policy> ToPolicy(const v1::Config& config);
// One element for each `jwt`, in order. InvalidArgument (the claim template) names the element.
absl::StatusOr<std::vector<JwtIssuer>> ToJwtIssuers(const v1::Config& config);

// What certificates may be like. InvalidArgument names the key that breaks a rule of CertificateProfile.
absl::StatusOr<CertificateProfile> ToProfile(const v1::Leaf& leaf);
// Threads and queues; without the policy, which is no matter of the configuration alone.
PipelineOptions ToPipelineOptions(const v1::Limits& limits);
// What clients call this server: the usual names, and `server_names`.
ServerCertificateNames ToServerNames(const v1::Config& config);

// When a step of a root's rotation has its evidence: `rotation`, and leaf.lifetime for those who never had a
// certificate.
EvidencePolicy ToEvidencePolicy(const v1::Config& config);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_CONVERT_H_
