#include "cli/config/convert_kubernetes.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/config/resolve.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/temp_folder.h"

namespace meshca::config {
namespace {

using testing::HasSubstr;

class ConvertKubernetesTest : public testing::Test {
 protected:
  ResolvedConfig Resolve(absl::string_view yaml) {
    ConfigInput input;
    input.environment = {{"HOME", "/home/u"}};
    input.working_directory = "/home/ca";
    input.config_file = folder_.path() + "/m.yaml";
    std::ofstream(input.config_file) << yaml;
    absl::StatusOr<ResolvedConfig> config = ResolveConfig(input);
    EXPECT_TRUE(config.ok()) << config.status();
    return *std::move(config);
  }

  TempFolder folder_;
};

TEST_F(ConvertKubernetesTest, IsOffUntilAKeyOfItIsGiven) {
  const ResolvedConfig none = Resolve("trust_domain: a.test\n");
  EXPECT_FALSE(ServesKubernetes(none.origins)) << "its defaults alone turn nothing on";
  EXPECT_TRUE(ToPublishers(none.values.kubernetes()).empty());
  EXPECT_TRUE(ServesKubernetes(Resolve("kubernetes: {}\n").origins));
  EXPECT_TRUE(ServesKubernetes(Resolve("kubernetes: {mount_delay: 1m}\n").origins));
  EXPECT_TRUE(ServesKubernetes(Resolve("kubernetes: {roots_config_map: {name: roots}}\n").origins));
}

TEST_F(ConvertKubernetesTest, PublishesInWhatIsNamed) {
  const ResolvedConfig config = Resolve(R"(
kubernetes:
  roots_config_map: {name: istio-ca-root-cert}
  cluster_trust_bundle: {name: "istio.io:istiod-ca:root-cert"}
  mount_delay: 30s
)");
  const std::vector<PublisherOptions> publishers = ToPublishers(config.values.kubernetes());
  ASSERT_EQ(publishers.size(), 2u);
  ASSERT_EQ(publishers[0].kinds.size(), 1u);
  EXPECT_EQ(publishers[0].kinds[0].name, "istio-ca-root-cert");
  EXPECT_EQ(publishers[0].kinds[0].content_path, R"(data.root-cert\.pem)");
  EXPECT_EQ(publishers[0].publication.mount_delay, absl::Seconds(30));
  ASSERT_TRUE(publishers[0].namespaces.has_value());
  EXPECT_TRUE(publishers[0].namespaces->Has("kube-system"));
  for (const char* name : {"kube-public", "kube-node-lease", "local-path-storage"}) {
    EXPECT_FALSE(publishers[0].namespaces->Has(name)) << name;
  }
  ASSERT_EQ(publishers[1].kinds.size(), 2u);
  EXPECT_EQ(publishers[1].publication.mount_delay, absl::Seconds(390)) << "kubelets keep such a bundle longer";
  EXPECT_EQ(publishers[1].kinds[0].resource.version, "v1");
  EXPECT_EQ(publishers[1].kinds[1].resource.version, "v1beta1");
  EXPECT_FALSE(publishers[1].namespaces.has_value());
}

TEST_F(ConvertKubernetesTest, NamespacesMayBeChosen) {
  const ResolvedConfig config =
      Resolve("kubernetes: {roots_config_map: {name: roots, namespaces: [web, db], except: [db]}}\n");
  const std::vector<PublisherOptions> publishers = ToPublishers(config.values.kubernetes());
  ASSERT_EQ(publishers.size(), 1u);
  EXPECT_TRUE(publishers[0].namespaces->Has("web"));
  EXPECT_FALSE(publishers[0].namespaces->Has("db"));
  EXPECT_FALSE(publishers[0].namespaces->Has("kube-system"));
}

TEST_F(ConvertKubernetesTest, WhoeverWritesContestsTheLeaseOfTheTrustDomain) {
  EXPECT_FALSE(WritesInCluster(Resolve("kubernetes: {}\n").values.kubernetes())) << "tokens alone are only judged";
  EXPECT_TRUE(WritesInCluster(Resolve("kubernetes: {signer: meshca.io/workload}\n").values.kubernetes()));
  const ResolvedConfig config = Resolve("trust_domain: a.test\nkubernetes: {roots_config_map: {name: roots}}\n");
  EXPECT_TRUE(WritesInCluster(config.values.kubernetes()));
  EXPECT_EQ(ToLeasePlace(config.values).Text(), "kube-system/meshca-a.test");
  const ResolvedConfig elsewhere = Resolve("trust_domain: a.test\nkubernetes: {lease_namespace: mesh}\n");
  EXPECT_EQ(ToLeasePlace(elsewhere.values).Text(), "mesh/meshca-a.test");
  for (const char* name :
       {"", "Mesh", "a/b", "a.b", "-a", "a-", "0123456789012345678901234567890123456789012345678901234567890123"}) {
    EXPECT_FALSE(CheckNamespace(name).ok()) << name;
  }
}

TEST_F(ConvertKubernetesTest, ASignerIsOffUntilItIsNamed) {
  EXPECT_FALSE(ToPodSigner(Resolve("kubernetes: {mount_delay: 1m}\n").values)->has_value());
  const ResolvedConfig config = Resolve("trust_domain: a.test\nkubernetes: {signer: meshca.io/workload}\n");
  EXPECT_TRUE(config.warnings.empty());
  const absl::StatusOr<std::optional<PodSignerOptions>> signer = ToPodSigner(config.values);
  ASSERT_TRUE(signer.ok() && signer->has_value()) << signer.status();
  EXPECT_EQ((*signer)->signer_name, "meshca.io/workload");
  EXPECT_FALSE((*signer)->without_policy);
  EXPECT_EQ((*signer)->spiffe_id.IdOf({"web", "front"})->uri(), "spiffe://a.test/ns/web/sa/front");
  EXPECT_EQ((*signer)->profile.lifetime_default + (*signer)->profile.backdate, absl::Hours(24));
}

TEST_F(ConvertKubernetesTest, LivesUnderAnHourAreWarnedOf) {
  const ResolvedConfig config = Resolve(R"(
leaf: {lifetime: 10m}
kubernetes: {signer: meshca.io/workload, signer_without_policy: true}
policy:
- {spiffe_id: "*/sa/short", lifetime_max: 5m}
- {spiffe_id: "*", lifetime_max: 2h}
)");
  ASSERT_EQ(config.warnings.size(), 2u);
  EXPECT_THAT(config.warnings[0], HasSubstr("leaf.lifetime is 10m"));
  EXPECT_THAT(config.warnings[0], HasSubstr("meshca.io/workload live for 1h"));
  EXPECT_THAT(config.warnings[1], HasSubstr("policy[0].lifetime_max is 5m"));
  EXPECT_THAT(config.warnings[1], HasSubstr("for */sa/short are denied"));
  EXPECT_TRUE((*ToPodSigner(config.values))->without_policy);
}

TEST_F(ConvertKubernetesTest, ServerSecretsHaveTheIdentityOfTheirAccount) {
  EXPECT_TRUE(ToServerSecrets(Resolve("kubernetes: {}\n").values)->empty());
  const ResolvedConfig config = Resolve(R"(
trust_domain: a.test
leaf: {key_type: ed25519}
kubernetes:
  mount_delay: 30s
  server_secrets:
  - namespace: istio-system
    name: istiod-tls
    service_account: istiod
    pods: app=istiod
    dns_names: [istiod.istio-system.svc, Istio-Pilot.istio-system.svc]
  - {namespace: istio-system, name: istiod-canary-tls, service_account: istiod-canary, dns_names: [istiod-canary.istio-system.svc]}
)");
  const absl::StatusOr<std::vector<ServerSecretOptions>> secrets = ToServerSecrets(config.values);
  ASSERT_TRUE(secrets.ok()) << secrets.status();
  ASSERT_EQ(secrets->size(), 2u);
  const ServerSecretOptions& first = secrets->front();
  EXPECT_EQ(first.secret.Text(), "Secret istio-system/istiod-tls");
  EXPECT_EQ(first.pods, "app=istiod");
  EXPECT_EQ(first.names.spiffe_id.uri(), "spiffe://a.test/ns/istio-system/sa/istiod");
  EXPECT_THAT(first.names.dns_names, testing::ElementsAre("istio-pilot.istio-system.svc", "istiod.istio-system.svc"));
  EXPECT_EQ(first.publication.mount_delay, absl::Seconds(30));
  EXPECT_EQ(first.key_type, KeyType::kEcP256) << "not every client of istiod verifies Ed25519";
  EXPECT_THAT(ToServerSecretProfile(config.values)->key_types, testing::ElementsAre(KeyType::kEcP256));
  EXPECT_EQ(
      ToServerSecrets(
          Resolve("leaf: {key_type: rsa-2048, key_types: [ec-p256]}\nkubernetes: {server_secrets: [{namespace: a, "
                  "name: b, service_account: c, dns_names: [d.test]}]}\n")
              .values)
          ->front()
          .key_type,
      KeyType::kRsa2048);
}

struct SecretFaultCase {
  const char* name;
  const char* yaml;  // of the list
  const char* fault;
};

class ServerSecretFaults : public ConvertKubernetesTest, public testing::WithParamInterface<SecretFaultCase> {};

TEST_P(ServerSecretFaults, NameKeyAndRule) {
  ConfigInput input;
  input.environment = {{"HOME", "/home/u"}};
  input.working_directory = "/home/ca";
  input.config_file = folder_.path() + "/m.yaml";
  std::ofstream(input.config_file) << "kubernetes:\n  server_secrets:\n" << GetParam().yaml;
  EXPECT_THAT(std::string(ResolveConfig(input).status().message()), HasSubstr(GetParam().fault));
}

INSTANTIATE_TEST_SUITE_P(
    All, ServerSecretFaults,
    testing::Values(
        SecretFaultCase{"NoNames", "  - {namespace: a, name: b, service_account: c}\n",
                        "kubernetes.server_secrets[0]: lacks the key \"dns_names\""},
        SecretFaultCase{"EmptyNames", "  - {namespace: a, name: b, service_account: c, dns_names: []}\n",
                        "m.yaml:3:49: kubernetes.server_secrets[0].dns_names: is empty; name what clients call"},
        SecretFaultCase{"NoNamespace", "  - {name: b, service_account: c, dns_names: [d]}\n",
                        "kubernetes.server_secrets[0]: lacks the key \"namespace\""},
        SecretFaultCase{"Namespace", "  - {namespace: a.b, name: b, service_account: c, dns_names: [d]}\n",
                        "kubernetes.server_secrets[0].namespace: expects a name of Kubernetes such as istio-system, "
                        "not \"a.b\""},
        SecretFaultCase{"Name", "  - {namespace: a, name: Istiod, service_account: c, dns_names: [d]}\n",
                        "kubernetes.server_secrets[0].name: expects a name of Kubernetes such as istiod-tls, not "
                        "\"Istiod\""},
        SecretFaultCase{"Account", "  - {namespace: a, name: b, service_account: a/c-, dns_names: [d]}\n",
                        "kubernetes.server_secrets[0].service_account: expects a name of Kubernetes such as istiod, "
                        "not \"a/c-\""},
        SecretFaultCase{"DnsName", "  - {namespace: a, name: b, service_account: c, dns_names: ['istiod:15012']}\n",
                        "kubernetes.server_secrets[0].dns_names: not a DNS name: \"istiod:15012\""},
        SecretFaultCase{"DnsNameTwice",
                        "  - {namespace: a, name: b, service_account: c, dns_names: [d.test, D.test]}\n",
                        "kubernetes.server_secrets[0].dns_names: has D.test twice"},
        SecretFaultCase{"Twice",
                        "  - {namespace: a, name: b, service_account: c, dns_names: [d]}\n"
                        "  - {namespace: a, name: b, service_account: e, dns_names: [f]}\n",
                        "m.yaml:4:20: kubernetes.server_secrets[1].name: Secret a/b stands in the list before"},
        SecretFaultCase{"UnknownKey", "  - {namespace: a, name: b, service_acount: c, dns_names: [d]}\n",
                        "did you mean \"service_account\"?"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(ConvertKubernetesTest, ASignerHasADomainOfItsOwn) {
  for (const char* name :
       {"workload", "meshca.io/", "/workload", "kubernetes.io/kubelet-serving", "a.kubernetes.io/x"}) {
    ConfigInput input;
    input.environment = {{"HOME", "/home/u"}};
    input.working_directory = "/home/ca";
    input.config_file = folder_.path() + "/m.yaml";
    std::ofstream(input.config_file) << "kubernetes: {signer: \"" << name << "\"}\n";
    EXPECT_THAT(std::string(ResolveConfig(input).status().message()), HasSubstr("kubernetes.signer")) << name;
  }
}

TEST_F(ConvertKubernetesTest, TrustsNoNodeAccountWhereNoneIsSaid) {
  const auto trusted = [this](absl::string_view list) {
    const absl::StatusOr<ServiceAccountOptions> options =
        ToServiceAccounts(Resolve(absl::StrCat("kubernetes: {trusted_node_accounts: ", list, "}\n")).values);
    std::vector<std::string> names;
    for (const AccountName& account : options->trusted_node_accounts) names.push_back(account.Text());
    return names;
  };
  EXPECT_THAT(trusted("[none]"), testing::IsEmpty());
  EXPECT_THAT(trusted("[]"), testing::ElementsAre("istio-system/ztunnel"));
  EXPECT_THAT(trusted("[mesh/proxy, other/one]"), testing::ElementsAre("mesh/proxy", "other/one"));
}

TEST_F(ConvertKubernetesTest, WhatKubernetesWouldRefuseIsRefused) {
  const auto fault = [this](absl::string_view yaml) {
    ConfigInput input;
    input.environment = {{"HOME", "/home/u"}};
    input.working_directory = "/home/ca";
    input.config_file = folder_.path() + "/bad.yaml";
    std::ofstream(input.config_file) << yaml;
    return std::string(ResolveConfig(input).status().message());
  };
  EXPECT_THAT(fault("kubernetes: {trusted_node_accounts: ['Istio System/zt']}\n"), HasSubstr("NAMESPACE/ACCOUNT"));
  EXPECT_THAT(fault("kubernetes: {cluster_trust_bundle: {name: roots}}\n"), HasSubstr("istio.io:istiod-ca:"));
}

TEST_F(ConvertKubernetesTest, WithoutAKubeconfigOutsideOfAPodSaysWhatToDo) {
  unsetenv("KUBERNETES_SERVICE_HOST");
  const absl::Status status = ToApiServer(v1::Kubernetes()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kubernetes.kubeconfig"));
}

}  // namespace
}  // namespace meshca::config
