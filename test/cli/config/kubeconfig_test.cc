#include "cli/config/kubeconfig.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/temp_folder.h"

namespace meshca::config {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Keys that `kubectl` writes and meshca passes over stand in it as well.
constexpr char kWhole[] = R"(apiVersion: v1
kind: Config
preferences: {}
current-context: prod
contexts:
- name: dev
  context: {cluster: dev, user: dev}
- name: prod
  context:
    cluster: east
    user: meshca
    namespace: meshca-system
clusters:
- name: east
  cluster:
    server: https://[fd00::1]:6443/clusters/east
    certificate-authority: ca.pem
    tls-server-name: kubernetes.default.svc
    disable-compression: true
    extensions: [{name: x, extension: {}}]
users:
- name: meshca
  user:
    tokenFile: token
- name: dev
  user: {exec: {command: aws}}
)";

class KubeconfigTest : public testing::Test {
 protected:
  KubeconfigTest() {
    key_ = SoftwareKey::Generate(KeyType::kEcP256).value();
    const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
    ca_ = BuildRoot(domain, *key_, absl::Now(), absl::Hours(1), SystemEntropy())->pem().text();
    Write("ca.pem", ca_);
    Write("key.pem", KeyPem());
  }

  std::string KeyPem() const { return std::string(key_->ToPkcs8Pem().reveal()); }
  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    std::ofstream(folder_ / name) << text;
    ASSERT_EQ(::chmod((folder_ / name).c_str(), mode), 0);
  }
  absl::StatusOr<kubernetes::ApiServerOptions> Read(const std::string& text, mode_t mode = 0600) {
    Write("kubeconfig", text, mode);
    return ReadKubeconfig(folder_ / "kubeconfig");
  }
  // kWhole with the lines of user "meshca" exchanged for `user`.
  static std::string WithUser(const std::string& user) {
    return absl::StrReplaceAll(kWhole, {{"    tokenFile: token\n", user}});
  }
  std::string FaultOf(const std::string& text) {
    const absl::Status status = Read(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "CONFIG_INVALID");
    return std::string(status.message());
  }

  TempFolder folder_;
  std::unique_ptr<SoftwareKey> key_;
  std::string ca_;
};

TEST_F(KubeconfigTest, SaysWhereTheApiServerIsAndWhoWeAre) {
  const auto options = Read(kWhole, 0644);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->url.Origin(), "https://[fd00::1]:6443");
  EXPECT_EQ(options->url.target, "/clusters/east");
  EXPECT_EQ(options->tls.ca.file, folder_ / "ca.pem");
  EXPECT_EQ(options->tls.server_name, "kubernetes.default.svc");
  EXPECT_EQ(options->token.file, folder_ / "token");
  EXPECT_EQ(options->namespace_name, "meshca-system");
  EXPECT_EQ(options->described, absl::StrCat(folder_ / "kubeconfig", ", context prod"));
}

TEST_F(KubeconfigTest, TakesWhatStandsInTheFileItself) {
  std::string text = WithUser(absl::StrCat(
      "    token: hush\n    client-certificate: /no/such\n    client-certificate-data: ", absl::Base64Escape(ca_),
      "\n    client-key-data: ", absl::Base64Escape(KeyPem()), "\n"));
  text = absl::StrReplaceAll(
      text, {{"certificate-authority: ca.pem", absl::StrCat("certificate-authority-data: ", absl::Base64Escape(ca_))},
             {"    namespace: meshca-system\n", ""}});
  const auto options = Read(text);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->token.bytes->reveal(), "hush");
  EXPECT_EQ(options->tls.ca.bytes->reveal(), ca_);
  EXPECT_EQ(options->tls.certificate.bytes->reveal(), ca_);
  EXPECT_EQ(options->tls.key.bytes->reveal(), KeyPem());
  EXPECT_EQ(options->namespace_name, "default");

  // It is set back to 0600, or refused where that cannot be.
  ASSERT_TRUE(Read(text, 0644).ok());
  EXPECT_EQ(static_cast<int>(std::filesystem::status(folder_ / "kubeconfig").permissions()), 0600);
}

TEST_F(KubeconfigTest, ATokenFileGoesBeforeAToken) {
  const auto options = Read(WithUser("    token: hush\n    tokenFile: /var/token\n"));
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->token.file, "/var/token");
  EXPECT_EQ(options->token.bytes, nullptr);
}

TEST_F(KubeconfigTest, TakesAClientCertificateFromFiles) {
  const auto options = Read(WithUser("    client-certificate: ca.pem\n    client-key: key.pem\n"));
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->tls.certificate.file, folder_ / "ca.pem");
  EXPECT_EQ(options->tls.key.file, folder_ / "key.pem");
}

TEST_F(KubeconfigTest, PlainHttpIsForThisHostAlone) {
  const auto with_server = [](const std::string& url) {
    return absl::StrReplaceAll(kWhole,
                               {{"https://[fd00::1]:6443/clusters/east", url}, {"tokenFile: token", "as: null"}});
  };
  EXPECT_TRUE(Read(with_server("http://127.0.0.1:8001")).ok()) << "kubectl proxy";
  EXPECT_THAT(FaultOf(with_server("http://10.0.0.1:8001")),
              HasSubstr("kubeconfig:16:13: cluster.server: is http to another"));
  EXPECT_THAT(FaultOf(with_server("ftp://x")), HasSubstr("kubeconfig:16:13: cluster.server: URL"));
}

struct KubeconfigFault {
  const char* name;
  const char* from;  // of kWhole; what is exchanged
  const char* to;
  const char* place;
  const char* says;
};

class KubeconfigFaults : public KubeconfigTest, public testing::WithParamInterface<KubeconfigFault> {};

TEST_P(KubeconfigFaults, AreNamedWithTheirPlace) {
  const KubeconfigFault& fault = GetParam();
  ASSERT_TRUE(absl::StrContains(kWhole, fault.from));
  EXPECT_THAT(FaultOf(absl::StrReplaceAll(kWhole, {{fault.from, fault.to}})),
              AllOf(StartsWith(absl::StrCat(folder_ / "kubeconfig", fault.place)), HasSubstr(fault.says),
                    Not(HasSubstr("hush"))));
}

INSTANTIATE_TEST_SUITE_P(
    Each, KubeconfigFaults,
    testing::Values(
        KubeconfigFault{"NoContextChosen", "current-context: prod", "current-context: ''",
                        ": current-context:", "kubectl config use-context"},
        KubeconfigFault{"NoSuchContext", "current-context: prod", "current-context: stage",
                        ":4:18:", "no context is called \"stage\"; there are: dev, prod"},
        KubeconfigFault{"NoSuchCluster", "cluster: east\n", "cluster: west\n",
                        ":10:14:", "no cluster is called \"west\"; there are: east"},
        KubeconfigFault{"NoUserNamed", "    user: meshca\n", "", ":10:5: context:", "names no user"},
        KubeconfigFault{"Exec", "tokenFile: token", "exec: {command: aws, args: [hush]}", ":24:11: user.exec:",
                        "is refused (aws): meshca runs no program for a credential; make a service account"},
        KubeconfigFault{"AuthProvider", "tokenFile: token", "auth-provider: {name: gcp, config: {t: hush}}",
                        ":24:20: user.auth-provider:", "is refused (gcp)"},
        KubeconfigFault{"Password", "tokenFile: token", "password: hush", ":24:15: user.password:", "no longer takes"},
        KubeconfigFault{"Impersonation", "tokenFile: token", "as: root", ":24:9: user.as:", "acts as nobody else"},
        KubeconfigFault{"Insecure", "disable-compression: true", "insecure-skip-tls-verify: true",
                        ":19:31: cluster.insecure-skip-tls-verify:", "give its CA by certificate-authority"},
        KubeconfigFault{"Proxy", "disable-compression: true", "proxy-url: http://p",
                        ":19:16: cluster.proxy-url:", "without a proxy"},
        KubeconfigFault{"NoCredential", "tokenFile: token", "token: ''",
                        ":24:5: user:", "has neither a token nor a client certificate"},
        KubeconfigFault{"CertificateWithoutKey", "tokenFile: token", "client-certificate: ca.pem",
                        ":24:5: user:", "belong together"},
        KubeconfigFault{"NoBase64", "certificate-authority: ca.pem", "certificate-authority-data: '%hush'",
                        ":17:33: cluster.certificate-authority-data:", "is no base64"},
        KubeconfigFault{"NoPem", "certificate-authority: ca.pem", "certificate-authority-data: aHVzaA==",
                        ": the CA's certificates:", "holds no certificate in PEM"},
        KubeconfigFault{"NoList", "users:\n", "users: {}\nignored:\n",
                        ":21:8: users:", "expects a list, got a mapping"},
        KubeconfigFault{"Twice", "tokenFile: token", "tokenFile: a\n    tokenFile: b",
                        ":25:5: user.tokenFile:", "stands twice"},
        KubeconfigFault{"Alias", "namespace: meshca-system", "namespace: &x hush", ":12:", "an anchor"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(KubeconfigTest, FilesThatAreNotThereAreNamed) {
  const absl::Status none = ReadKubeconfig(folder_ / "none").status();
  EXPECT_THAT(std::string(none.message()), HasSubstr(folder_ / "none"));
  const absl::Status no_ca = Read(absl::StrReplaceAll(kWhole, {{"ca.pem", "no-ca.pem"}})).status();
  EXPECT_THAT(std::string(no_ca.message()),
              AllOf(StartsWith(folder_ / "kubeconfig"), HasSubstr(folder_ / "no-ca.pem")));
  Write("other.pem", std::string(SoftwareKey::Generate(KeyType::kEcP256).value()->ToPkcs8Pem().reveal()));
  EXPECT_THAT(FaultOf(WithUser("    client-certificate: ca.pem\n    client-key: other.pem\n")),
              AllOf(HasSubstr(absl::StrCat(folder_ / "other.pem", " is not the key of ", folder_ / "ca.pem")),
                    Not(HasSubstr("PRIVATE"))));
}

}  // namespace
}  // namespace meshca::config
