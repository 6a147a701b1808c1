#include "cli/config/convert.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/issuance/server_certificate.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca::config {

// The two enums have the same numbers, so that a stored one and a configured one never need a table.
static_assert(static_cast<int>(KeyType::kEcP256) == v1::KEY_TYPE_EC_P256);
static_assert(static_cast<int>(KeyType::kEcP384) == v1::KEY_TYPE_EC_P384);
static_assert(static_cast<int>(KeyType::kEd25519) == v1::KEY_TYPE_ED25519);
static_assert(static_cast<int>(KeyType::kRsa2048) == v1::KEY_TYPE_RSA_2048);
static_assert(static_cast<int>(KeyType::kRsa3072) == v1::KEY_TYPE_RSA_3072);
static_assert(static_cast<int>(KeyType::kRsa4096) == v1::KEY_TYPE_RSA_4096);

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

KeyType ToKeyType(v1::KeyType type) { return static_cast<KeyType>(type); }

std::vector<KeyType> ToKeyTypes(const google::protobuf::RepeatedField<int>& types) {
  std::vector<KeyType> result;
  for (int type : types) result.push_back(static_cast<KeyType>(type));
  return result;
}

LogLevel ToLogLevel(v1::LogLevel level) {
  switch (level) {
    case v1::LOG_LEVEL_DEBUG: return LogLevel::kDebug;
    case v1::LOG_LEVEL_WARNING: return LogLevel::kWarning;
    case v1::LOG_LEVEL_ERROR: return LogLevel::kError;
    default: return LogLevel::kInfo;
  }
}

LogFormat ToLogFormat(v1::LogFormat format) {
  return format == v1::LOG_FORMAT_JSON ? LogFormat::kJson : LogFormat::kText;
}

bool ServesHttp(const v1::Config& config) { return config.http_listen() != "off"; }

absl::StatusOr<Policy> ToPolicy(const v1::Config& config) {
  std::vector<PolicyRule> rules;
  for (const v1::PolicyRule& each : config.policy()) {
    PolicyRule& rule = rules.emplace_back();
    rule.spiffe_id_glob = each.spiffe_id();
    rule.lifetime_max = ToDuration(each.lifetime_max());
    rule.key_types = ToKeyTypes(each.key_types());
    for (const std::string& name : each.dns_names()) {
      rule.dns_names.push_back(absl::AsciiStrToLower(name));  // as requests are compared
    }
    rule.issuances_per_minute = each.issuances_per_minute();
  }
  return Policy::Create(std::move(rules));
}

absl::StatusOr<std::vector<JwtIssuer>> ToJwtIssuers(const v1::Config& config) {
  MESHCA_ASSIGN_OR_RETURN(const TrustDomain trust_domain, TrustDomain::Parse(config.trust_domain()));
  std::vector<JwtIssuer> issuers;
  for (int i = 0; i < config.authenticators_size(); ++i) {
    const v1::Jwt& jwt = config.authenticators(i).jwt();
    absl::StatusOr<ClaimTemplate> spiffe_id = ClaimTemplate::Parse(jwt.spiffe_id(), trust_domain);
    if (!spiffe_id.ok()) return Annotate(spiffe_id.status(), absl::StrCat("authenticators[", i, "].jwt.spiffe_id"));
    JwtIssuer& issuer = issuers.emplace_back();
    issuer.issuer = jwt.issuer();
    issuer.audiences = {jwt.audiences().begin(), jwt.audiences().end()};
    issuer.spiffe_id = *std::move(spiffe_id);
    issuer.location = {
        .file = jwt.jwks_file(), .url = jwt.jwks_url(), .issuer = jwt.issuer(), .ca_file = jwt.jwks_ca_file()};
  }
  return issuers;
}

EvidencePolicy ToEvidencePolicy(const v1::Config& config) {
  return {.settle = ToDuration(config.rotation().settle()),
          .skew = ToDuration(config.rotation().skew()),
          .leaf_lifetime = ToDuration(config.leaf().lifetime()),
          .emergency_grace = ToDuration(config.rotation().emergency_grace())};
}

absl::StatusOr<CertificateProfile> ToProfile(const v1::Leaf& leaf) {
  CertificateProfile profile;
  profile.lifetime_default = ToDuration(leaf.lifetime());
  profile.lifetime_max = ToDuration(leaf.lifetime_max());
  profile.backdate = ToDuration(leaf.backdate());
  if (leaf.key_types_size() > 0) profile.key_types = ToKeyTypes(leaf.key_types());
  MESHCA_RETURN_IF_ERROR(profile.Validate());
  return profile;
}

PipelineOptions ToPipelineOptions(const v1::Limits& limits) {
  PipelineOptions options;
  options.threads = limits.signing_threads();
  options.queued_renewals_max = limits.queued_renewals_max();
  options.queued_bulk_max = limits.queued_requests_max();
  return options;
}

ServerCertificateNames ToServerNames(const v1::Config& config) {
  return DefaultServerNames({config.server_names().begin(), config.server_names().end()});
}

}  // namespace meshca::config
