#include "cli/config/validate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "ca/authn/claim_template.h"
#include "ca/authn/fetch_url.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"
#include "ca/identity/object_name.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/dns_name.h"
#include "cli/config/convert.h"
#include "cli/config/convert_kubernetes.h"
#include "cli/config/rules.h"
#include "cli/config/value.h"

namespace meshca::config {
namespace {

void CheckAddresses(const v1::Config& values, Rules& rules) {
  rules.Check("listen", CheckAddress(values.listen(), "https"));
  if (ServesHttp(values)) rules.Check("http_listen", CheckAddress(values.http_listen(), "http"));
  if (values.listen() == values.http_listen() && !absl::EndsWith(values.listen(), ":0")) {
    rules.Fault("http_listen", absl::StrCat(values.http_listen(), " is taken: listen has it already"));
  }
  for (int i = 0; i < values.server_names_size(); ++i) {
    const std::string& name = values.server_names(i);
    in6_addr ignored;
    if (inet_pton(AF_INET, name.c_str(), &ignored) == 1 || inet_pton(AF_INET6, name.c_str(), &ignored) == 1) continue;
    if (!CheckDnsName(name).ok()) {
      rules.Fault(absl::StrCat("server_names[", i, "]"),
                  absl::StrCat("expects a DNS name or an IP address, not \"", name, "\""));
    }
  }
}

// `what` must last at least `times` as long as `other`: says by which change of either it would.
void CheckAtLeast(const std::string& key, absl::Duration value, int times, const std::string& other,
                  absl::Duration other_value, Rules& rules) {
  if (value >= times * other_value) return;
  const std::string factor = times == 1 ? "" : "twice ";
  rules.Fault(key, absl::StrCat(key, " is ", DurationText(value), ", and ", factor, other, " is ",
                                DurationText(times * other_value), ": raise ", key, " to at least ",
                                DurationText(times * other_value), ", or lower ", other, " (",
                                rules.OriginOf(other).where, ") to ", DurationText(value / times)));
}

// Stricter than what an authority needs to outlive what it signs: of a root too, half a life is left for the change to
// the next one.
void CheckAuthoritiesLastTwiceAsLong(const v1::Config& values, Rules& rules) {
  const absl::Duration leaf = ToDuration(values.leaf().lifetime());
  const absl::Duration leaf_max = ToDuration(values.leaf().lifetime_max());
  const absl::Duration issuing = ToDuration(values.authority().issuing_lifetime());
  const absl::Duration root = ToDuration(values.authority().root_lifetime());
  CheckAtLeast("leaf.lifetime_max", leaf_max, 1, "leaf.lifetime", leaf, rules);
  CheckAtLeast("authority.issuing_lifetime", issuing, 2, "leaf.lifetime_max", leaf_max, rules);
  CheckAtLeast("authority.root_lifetime", root, 2, "authority.issuing_lifetime", issuing, rules);
}

void CheckJwt(const v1::Jwt& jwt, const std::string& path, const TrustDomain* trust_domain, Rules& rules) {
  if (!jwt.jwks_file().empty() && !jwt.jwks_url().empty()) {
    rules.Fault(path + ".jwks_url", "stands beside jwks_file; one of the two must go");
  }
  if (!jwt.jwks_url().empty()) {
    rules.Check(path + ".jwks_url", ParseFetchUrl(jwt.jwks_url()).status());
  } else if (jwt.jwks_file().empty() && !ParseFetchUrl(jwt.issuer()).ok()) {
    rules.Fault(path + ".issuer", absl::StrCat("its keys cannot be discovered at \"", jwt.issuer(),
                                               "\", which is no https URL: add jwks_file or jwks_url"));
  }
  if (!jwt.jwks_ca_file().empty() && !jwt.jwks_file().empty()) {
    rules.Fault(path + ".jwks_ca_file", "has no meaning for a jwks_file");
  }
  if (jwt.audiences().empty())
    rules.Fault(path + ".audiences", "is empty; name the audience that tokens for this CA have");
  if (trust_domain != nullptr) {
    rules.Check(path + ".spiffe_id", ClaimTemplate::Parse(jwt.spiffe_id(), *trust_domain).status());
  }
}

void CheckPolicy(const v1::Config& values, Rules& rules) {
  const absl::Duration leaf_max = ToDuration(values.leaf().lifetime_max());
  const std::vector<KeyType> allowed = ToKeyTypes(values.leaf().key_types());
  for (int i = 0; i < values.policy_size(); ++i) {
    const std::string path = absl::StrCat("policy[", i, "]");
    const v1::PolicyRule& rule = values.policy(i);
    if (!absl::StartsWith(rule.spiffe_id(), "spiffe://") && !absl::StartsWith(rule.spiffe_id(), "*")) {
      rules.Fault(path + ".spiffe_id",
                  absl::StrCat("fits no SPIFFE ID: \"", rule.spiffe_id(), "\"; begin with spiffe:// or with *"));
    }
    const absl::Duration lifetime_max = ToDuration(rule.lifetime_max());
    if (lifetime_max > leaf_max) {
      rules.Fault(path + ".lifetime_max",
                  absl::StrCat(DurationText(lifetime_max), " is more than leaf.lifetime_max, ", DurationText(leaf_max),
                               ", which holds for all: lower it or raise that"));
    }
    for (const KeyType type : ToKeyTypes(rule.key_types())) {
      if (allowed.empty() || std::find(allowed.begin(), allowed.end(), type) != allowed.end()) continue;
      rules.Fault(path + ".key_types", absl::StrCat(KeyTypeName(type), " is not among leaf.key_types"));
    }
    for (const std::string& name : rule.dns_names()) {
      if (name != "*") rules.Check(path + ".dns_names", CheckDnsName(name));
    }
  }
}

// "DOMAIN/PATH", as Kubernetes names signers; those of kubernetes.io belong to Kubernetes itself.
void CheckSigner(const std::string& signer, Rules& rules) {
  if (signer.empty()) return;
  const std::string domain = signer.substr(0, signer.find('/'));
  const bool whole = domain.size() + 1 < signer.size() && CheckDnsName(domain).ok();
  if (!whole) {
    rules.Fault("kubernetes.signer",
                absl::StrCat("expects a signer's name such as meshca.io/workload, not \"", signer, "\""));
  } else if (domain == "kubernetes.io" || absl::EndsWith(domain, ".kubernetes.io")) {
    rules.Fault("kubernetes.signer", absl::StrCat(signer, " is a name that Kubernetes keeps for itself"));
  }
}

// The API server refuses any other name of a bundle that has a signer.
void CheckTrustBundleName(const v1::RootsTrustBundle& bundle, Rules& rules) {
  const std::string prefix = absl::StrCat(absl::StrReplaceAll(bundle.signer_name(), {{"/", ":"}}), ":");
  if (bundle.name().empty() || absl::StartsWith(bundle.name(), prefix)) return;
  rules.Fault("kubernetes.cluster_trust_bundle.name",
              absl::StrCat("\"", bundle.name(), "\" does not begin with \"", prefix, "\", as a bundle of signer ",
                           bundle.signer_name(), " has to"));
}

void CheckServerSecret(const v1::ServerSecret& secret, const std::string& path, Rules& rules) {
  const auto check_name = [&](const std::string& key, const std::string& name, bool (*is_name)(absl::string_view),
                              absl::string_view example) {
    if (is_name(name)) return;
    rules.Fault(absl::StrCat(path, ".", key),
                absl::StrCat("expects a name of Kubernetes such as ", example, ", not \"", name, "\""));
  };
  check_name("namespace", secret.namespace_(), IsNamespaceName, "istio-system");
  check_name("name", secret.name(), IsObjectName, "istiod-tls");
  check_name("service_account", secret.service_account(), IsObjectName, "istiod");
  const std::string dns_names = path + ".dns_names";
  if (secret.dns_names().empty()) {
    rules.Fault(dns_names, "is empty; name what clients call the server, such as istiod.istio-system.svc");
  }
  if (const size_t most = CertificateProfile().dns_names_max; static_cast<size_t>(secret.dns_names_size()) > most) {
    rules.Fault(dns_names, absl::StrCat("has ", secret.dns_names_size(), " names; at most ", most, " are given"));
  }
  std::set<std::string> seen;
  for (const std::string& name : secret.dns_names()) {
    rules.Check(dns_names, CheckDnsName(name));
    if (!seen.insert(absl::AsciiStrToLower(name)).second) {
      rules.Fault(dns_names, absl::StrCat("has ", name, " twice"));
    }
  }
}

void CheckServerSecrets(const v1::Config& values, Rules& rules) {
  std::set<std::pair<std::string, std::string>> seen;
  const v1::Kubernetes& kubernetes = values.kubernetes();
  const size_t faults = rules.faults();
  for (int i = 0; i < kubernetes.server_secrets_size(); ++i) {
    const v1::ServerSecret& secret = kubernetes.server_secrets(i);
    const std::string path = absl::StrCat("kubernetes.server_secrets[", i, "]");
    CheckServerSecret(secret, path, rules);
    if (!seen.emplace(secret.namespace_(), secret.name()).second) {
      rules.Fault(path + ".name",
                  absl::StrCat("Secret ", secret.namespace_(), "/", secret.name(), " stands in the list before"));
    }
  }
  if (rules.faults() == faults) rules.Check("kubernetes", ToServerSecrets(values).status());
}

}  // namespace

void CheckSockets(const ResolvedConfig& config, Faults& faults) {
  Rules rules(config.origins, faults);
  CheckSocketPaths(config.values.admin_socket(), config.values.api_socket(), rules);
}

absl::Status Validate(const ResolvedConfig& config) {
  Faults faults("");
  Rules rules(config.origins, faults);
  const v1::Config& values = config.values;
  const absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(values.trust_domain());
  rules.Check("trust_domain", trust_domain.status());
  CheckAddresses(values, rules);
  CheckSockets(config, faults);
  CheckAuthoritiesLastTwiceAsLong(values, rules);
  for (int i = 0; i < values.authenticators_size(); ++i) {
    CheckJwt(values.authenticators(i).jwt(), absl::StrCat("authenticators[", i, "].jwt"),
             trust_domain.ok() ? &*trust_domain : nullptr, rules);
  }
  CheckPolicy(values, rules);
  if (ServesKubernetes(config.origins) && trust_domain.ok()) {
    rules.Check("kubernetes", ToServiceAccounts(values).status());
    CheckTrustBundleName(values.kubernetes().cluster_trust_bundle(), rules);
    CheckServerSecrets(values, rules);
    rules.Check("kubernetes.lease_namespace", CheckNamespace(values.kubernetes().lease_namespace()));
  }
  CheckSigner(values.kubernetes().signer(), rules);
  return faults.ToStatus();
}

}  // namespace meshca::config
