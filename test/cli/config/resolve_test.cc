#include "cli/config/resolve.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/config/convert.h"
#include "cli/config/flags.h"
#include "cli/config/loader.h"
#include "cli/config/to_yaml.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Code = absl::StatusCode;

ConfigInput User() {
  ConfigInput input;
  input.environment = {{"HOME", "/home/u"}};
  input.working_directory = "/home/ca";
  return input;
}

class ResolveTest : public testing::Test {
 protected:
  ResolveTest() {
    char pattern[] = "/tmp/meshca-resolve-XXXXXX";
    folder_ = mkdtemp(pattern);
    file_ = folder_ + "/m.yaml";
  }
  ~ResolveTest() override {
    unlink(file_.c_str());
    rmdir(folder_.c_str());
  }
  ConfigInput WithFile(absl::string_view text) {
    std::ofstream(file_) << text;
    ConfigInput input = User();
    input.config_file = file_;
    return input;
  }
  std::string folder_, file_;
};

TEST_F(ResolveTest, EveryDefaultOfTheDesign) {
  auto config = ResolveConfig(User());
  ASSERT_TRUE(config.ok()) << config.status();
  const v1::Config& values = config->values;
  EXPECT_EQ(values.trust_domain(), "cluster.local");
  EXPECT_EQ(values.listen(), "127.0.0.1:15012");
  EXPECT_EQ(values.http_listen(), "127.0.0.1:15014");
  EXPECT_EQ(ToDuration(values.leaf().lifetime()), absl::Hours(24));
  EXPECT_EQ(ToDuration(values.leaf().lifetime_max()), absl::Hours(24 * 7));
  EXPECT_EQ(ToDuration(values.leaf().backdate()), absl::Minutes(2));
  EXPECT_EQ(ToKeyType(values.leaf().key_type()), KeyType::kEcP256);
  EXPECT_EQ(ToKeyType(values.authority().key_type()), KeyType::kEcP256);
  EXPECT_EQ(ToDuration(values.authority().issuing_lifetime()), absl::Hours(24 * 30));
  EXPECT_EQ(ToDuration(values.authority().root_lifetime()), absl::Hours(24 * 3650));
  EXPECT_FALSE(values.sds().over_mtls());
  EXPECT_EQ(ToDuration(values.storage().retention()), absl::Hours(24 * 30));
  EXPECT_EQ(ToDuration(values.rotation().settle()), absl::Seconds(2));
  EXPECT_EQ(ToDuration(values.rotation().skew()), absl::Minutes(10));
  EXPECT_EQ(values.rotation().reissue_per_second(), 0u);
  EXPECT_EQ(values.kek_file(), values.state_dir() + "/kek");
  EXPECT_FALSE(values.authority().has_plugged_in_ca());
  EXPECT_TRUE(config->config_file.empty());
}

struct PathCase {
  const char* name;
  bool root;
  std::map<std::string, std::string> environment;
  std::string state_dir_flag;
  std::string state_dir, admin, api;
};
class Paths : public testing::TestWithParam<PathCase> {};

TEST_P(Paths, AreWhereTheDesignSays) {
  ConfigInput input;
  input.is_root = GetParam().root;
  input.environment = GetParam().environment;
  input.working_directory = "/home/ca";
  if (!GetParam().state_dir_flag.empty()) input.flags["state_dir"] = {GetParam().state_dir_flag};
  for (auto* resolve : {&ResolveConfig, &ResolvePaths}) {
    auto config = resolve(input);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->values.state_dir(), GetParam().state_dir);
    EXPECT_EQ(config->values.admin_socket(), GetParam().admin);
    EXPECT_EQ(config->values.api_socket(), GetParam().api);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Design2, Paths,
    testing::Values(
        PathCase{"Root",
                 true,
                 {{"HOME", "/root"}},
                 "",
                 "/var/lib/meshca",
                 "/run/meshca/admin.sock",
                 "/run/meshca/public/api.sock"},
        PathCase{"RootWithItsUsualFolderSaid",
                 true,
                 {},
                 "/var/lib/meshca",
                 "/var/lib/meshca",
                 "/run/meshca/admin.sock",
                 "/run/meshca/public/api.sock"},
        PathCase{"RootWithAFolderOfItsOwn", true, {}, "/srv/m", "/srv/m", "/srv/m/admin.sock", "/srv/m/api.sock"},
        PathCase{"User",
                 false,
                 {{"HOME", "/home/u"}},
                 "",
                 "/home/u/.local/state/meshca",
                 "/home/u/.local/state/meshca/admin.sock",
                 "/home/u/.local/state/meshca/api.sock"},
        PathCase{"UserWithXdg",
                 false,
                 {{"HOME", "/home/u"}, {"XDG_STATE_HOME", "/s"}, {"XDG_RUNTIME_DIR", "/run/user/7"}},
                 "",
                 "/s/meshca",
                 "/run/user/7/meshca/admin.sock",
                 "/run/user/7/meshca/api.sock"},
        PathCase{"RelativeXdgIsIgnored",
                 false,
                 {{"HOME", "/home/u"}, {"XDG_STATE_HOME", "s"}, {"XDG_RUNTIME_DIR", "r"}},
                 "",
                 "/home/u/.local/state/meshca",
                 "/home/u/.local/state/meshca/admin.sock",
                 "/home/u/.local/state/meshca/api.sock"},
        PathCase{"UserWithAFolderOfItsOwn",
                 false,
                 {{"XDG_RUNTIME_DIR", "/run/user/7"}},
                 "state",
                 "/home/ca/state",
                 "/home/ca/state/admin.sock",
                 "/home/ca/state/api.sock"},
        PathCase{"EnvironmentSaysWhere", true, {{"MESHCA_STATE_DIR", "/e"}}, "", "/e", "/e/admin.sock", "/e/api.sock"}),
    [](const auto& info) { return info.param.name; });

TEST_F(ResolveTest, FlagBeforeEnvironmentBeforeFileBeforeDefault) {
  ConfigInput input = WithFile("trust_domain: file.test\nlisten: 127.0.0.1:1\nhttp_listen: 127.0.0.1:2\n");
  input.environment["MESHCA_LISTEN"] = "127.0.0.1:3";
  input.environment["MESHCA_HTTP_LISTEN"] = "127.0.0.1:4";
  input.environment["MESHCA_SDS_OVER_MTLS"] = "true";
  input.environment["MESHCA_LOG_LEVEL"] = "";  // as good as unset
  input.flags["http_listen"] = {"127.0.0.1:5"};
  input.flags["server_names"] = {"a.test,b.test", "10.0.0.1"};
  auto config = ResolveConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->values.trust_domain(), "file.test");
  EXPECT_EQ(config->values.listen(), "127.0.0.1:3");
  EXPECT_EQ(config->values.http_listen(), "127.0.0.1:5");
  EXPECT_TRUE(config->values.sds().over_mtls());
  EXPECT_EQ(config->values.log().level(), v1::LOG_LEVEL_INFO);
  EXPECT_THAT(config->values.server_names(), ElementsAre("a.test", "b.test", "10.0.0.1"));
  EXPECT_EQ(config->origins.at("trust_domain").where, file_ + ":1:1");
  EXPECT_EQ(config->origins.at("listen").where, "MESHCA_LISTEN");
  EXPECT_EQ(config->origins.at("http_listen").where, "--http-listen");
  EXPECT_EQ(config->origins.at("log.level").where, "default");
}

TEST_F(ResolveTest, RotationIsAFileAFlagAndAVariable) {
  ConfigInput input = WithFile("leaf: {lifetime: 2h}\nrotation:\n  settle: 5s\n  skew: 1h\n");
  input.environment["MESHCA_ROTATION_SKEW"] = "30m";
  input.flags["rotation.reissue_per_second"] = {"250"};
  auto config = ResolveConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  const EvidencePolicy policy = ToEvidencePolicy(config->values);
  EXPECT_EQ(policy.settle, absl::Seconds(5));
  EXPECT_EQ(policy.skew, absl::Minutes(30));
  EXPECT_EQ(policy.leaf_lifetime, absl::Hours(2));
  EXPECT_EQ(config->values.rotation().reissue_per_second(), 250u);
  const std::string shown = config->ToYaml(/*show_origin=*/true);
  EXPECT_THAT(shown, HasSubstr("  settle: 5s  # " + file_ + ":3:3\n"));
  EXPECT_THAT(shown, HasSubstr("  skew: 30m  # MESHCA_ROTATION_SKEW\n"));
  EXPECT_THAT(shown, HasSubstr("  reissue_per_second: 250  # --rotation-reissue-per-second\n"));
}

TEST_F(ResolveTest, TheFileMayBeNamedByTheEnvironment) {
  ConfigInput input = WithFile("trust_domain: file.test\n");
  input.config_file.clear();
  input.environment["MESHCA_CONFIG"] = file_;
  auto config = ResolveConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->config_file, file_);
  EXPECT_EQ(config->values.trust_domain(), "file.test");
}

TEST_F(ResolveTest, WrongFlagsAndVariablesAreNamedAsTheReaderKnowsThem) {
  ConfigInput input = User();
  input.flags["leaf.lifetime"] = {"soon"};
  input.flags["listen"] = {"127.0.0.1:1", "127.0.0.1:2"};
  input.environment["MESHCA_SDS_OVER_MTLS"] = "yes";
  const absl::Status status = ResolveConfig(input).status();
  EXPECT_THAT(status, Refuses(Code::kInvalidArgument, "CONFIG_INVALID", "--leaf-lifetime: expects a duration"));
  EXPECT_THAT(status, Refuses(Code::kInvalidArgument, "CONFIG_INVALID",
                              "MESHCA_SDS_OVER_MTLS: expects true or false, not \"yes\""));
  EXPECT_THAT(status, Refuses(Code::kInvalidArgument, "CONFIG_INVALID", "--listen: is given twice"));
}

TEST_F(ResolveTest, AVariableThatIsAlmostOneIsAWarning) {
  ConfigInput input = User();
  input.environment["MESHCA_TRUST_DOMIAN"] = "a.test";
  input.environment["MESHCA_SERVICE_HOST"] = "10.0.0.1";  // Kubernetes, beside a Service called meshca
  input.environment["MESHCA_PORT_15012_TCP"] = "tcp://10.0.0.1:15012";
  auto config = ResolveConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->warnings,
              ElementsAre("MESHCA_TRUST_DOMIAN: no key has this name; did you mean MESHCA_TRUST_DOMAIN?"));
}

TEST_F(ResolveTest, WithoutAHomeItAsksForAFolder) {
  ConfigInput input;
  input.working_directory = "/";
  EXPECT_THAT(ResolveConfig(input), Refuses(Code::kInvalidArgument, "CONFIG_INVALID", "--state-dir DIR"));
}

struct RuleCase {
  const char* name;
  std::string yaml;
  std::string error;  // after "<file>:line:column: "
};
class ValidateTest : public ResolveTest, public testing::WithParamInterface<RuleCase> {};

TEST_F(ResolveTest, AddressesAreTakenAsUrlsToo) {
  const auto config = ResolveConfig(WithFile("listen: https://127.0.0.1:1\nhttp_listen: HTTP://[::1]:2/\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->values.listen(), "127.0.0.1:1");
  EXPECT_EQ(config->values.http_listen(), "[::1]:2");
}

TEST_F(ResolveTest, HttpIsSwitchedOffByTheWordOff) {
  ConfigInput input = WithFile("http_listen: off\n");
  EXPECT_FALSE(ServesHttp(ResolveConfig(input).value().values));
  input.flags["http_listen"] = {"127.0.0.1:0"};
  EXPECT_TRUE(ServesHttp(ResolveConfig(input).value().values)) << "the flag counts";
}

TEST_P(ValidateTest, NamesTheKeysAndWhatWouldDo) {
  EXPECT_THAT(ResolveConfig(WithFile(GetParam().yaml)),
              Refuses(Code::kInvalidArgument, "CONFIG_INVALID", GetParam().error));
}

std::string Jwt(absl::string_view keys) {
  return absl::StrCat("authenticators:\n- jwt:\n    issuer: https://i.test\n    audiences: [a]\n", keys);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, ValidateTest,
    testing::Values(
        RuleCase{"TrustDomain", "trust_domain: a b\n", "m.yaml:1:1: trust_domain: "},
        RuleCase{"AddressWithoutPort", "listen: 127.0.0.1\n", "m.yaml:1:1: listen: expects HOST:PORT"},
        RuleCase{"AddressPortTooLarge", "listen: 127.0.0.1:65536\n", "the port is a number from 0 to 65535"},
        RuleCase{"AddressBadHost", "listen: a b:1\n", "m.yaml:1:1: listen: expects HOST:PORT"},
        RuleCase{"AddressWithAPath", "listen: https://a.test:1/b\n",
                 "m.yaml:1:1: listen: \"https://a.test:1/b\" has a path, \"/b\""},
        RuleCase{"AddressOfPlainHttp", "listen: http://a.test:1\n",
                 "m.yaml:1:1: listen: \"http://a.test:1\" is plain HTTP"},
        RuleCase{"HttpAddressOfHttps", "http_listen: https://a.test:1\n",
                 "m.yaml:1:1: http_listen: \"https://a.test:1\" is HTTPS"},
        RuleCase{"OffIsForHttpAlone", "listen: off\n", "m.yaml:1:1: listen: expects HOST:PORT"},
        RuleCase{"AddressBadIpv4", "listen: 127.0.0.300:1\n", "m.yaml:1:1: listen: expects HOST:PORT"},
        RuleCase{"AddressBareIpv6", "listen: ::1:15012\n", "m.yaml:1:1: listen: expects HOST:PORT"},
        RuleCase{"SameAddress", "listen: 127.0.0.1:7\nhttp_listen: 127.0.0.1:7\n",
                 "m.yaml:2:1: http_listen: 127.0.0.1:7 is taken: listen has it already"},
        RuleCase{"ServerName", "server_names: [ok.test, \"a b\"]\n",
                 "m.yaml:1:1: server_names[1]: expects a DNS name or an IP address, not \"a b\""},
        RuleCase{"LeafAboveItsMaximum", "leaf: {lifetime: 14d}\n",
                 "leaf.lifetime_max: leaf.lifetime_max is 7d, and leaf.lifetime is 14d: raise leaf.lifetime_max to at "
                 "least 14d, or lower leaf.lifetime ("},
        RuleCase{"IssuingTooShort", "leaf: {lifetime_max: 20d}\n",
                 "authority.issuing_lifetime: authority.issuing_lifetime is 30d, and twice leaf.lifetime_max is 40d: "
                 "raise authority.issuing_lifetime to at least 40d, or lower leaf.lifetime_max ("},
        RuleCase{
            "RootTooShort", "authority: {root_lifetime: 40d}\n",
            "authority.root_lifetime: authority.root_lifetime is 40d, and twice authority.issuing_lifetime is 60d"},
        RuleCase{"SettleOfTwoHours", "rotation: {settle: 2h}\n", "rotation.settle: "},
        RuleCase{"SkewOfTwoDays", "rotation: {skew: 2d}\n", "rotation.skew: "},
        RuleCase{"ReissueWithoutBounds", "rotation: {reissue_per_second: 1000001}\n", "rotation.reissue_per_second: "},
        RuleCase{"SocketTooLong", "admin_socket: /" + std::string(107, 'x') + "\n",
                 "m.yaml:1:1: admin_socket: the path of a Unix socket has at most 107 bytes, and /xxx"},
        RuleCase{"SocketInALongFolder", "state_dir: /" + std::string(100, 'x') + "\n",
                 "has 112: give a shorter --state-dir, or --admin-socket"},
        RuleCase{"SameSocket", "admin_socket: /a\napi_socket: /a\n", "m.yaml:2:1: api_socket: /a is taken"},
        RuleCase{"JwtTwoKeySources",
                 Jwt("    spiffe_id: spiffe://{trust_domain}/{claims.a}/x\n    jwks_file: a\n    "
                     "jwks_url: https://i.test/k\n"),
                 "m.yaml:7:5: authenticators[0].jwt.jwks_url: stands beside jwks_file"},
        RuleCase{"JwtHttp", Jwt("    spiffe_id: spiffe://{trust_domain}/a/{claims.a}\n    jwks_url: http://i.test/k\n"),
                 "m.yaml:6:5: authenticators[0].jwt.jwks_url: URL \"http://i.test/k\": is http to another machine"},
        RuleCase{"JwtNoKeys",
                 "authenticators:\n- jwt: {issuer: plain, audiences: [a], spiffe_id: "
                 "'spiffe://{trust_domain}/a/{claims.a}'}\n",
                 "m.yaml:2:9: authenticators[0].jwt.issuer: its keys cannot be discovered at \"plain\""},
        RuleCase{"JwtNoAudience",
                 "authenticators:\n- jwt: {issuer: 'https://i.test', audiences: [], spiffe_id: "
                 "'spiffe://{trust_domain}/a/{claims.a}'}\n",
                 "authenticators[0].jwt.audiences: is empty"},
        RuleCase{"JwtReservedTemplate", Jwt("    spiffe_id: spiffe://{trust_domain}/meshca/{claims.a}\n"),
                 "m.yaml:5:5: authenticators[0].jwt.spiffe_id: template \"spiffe://{trust_domain}/meshca/{claims.a}\": "
                 "IDs below /meshca are meshca's own"},
        RuleCase{"JwtOtherTrustDomain", Jwt("    spiffe_id: spiffe://other.test/a/{claims.a}\n"),
                 "the trust domain is not this CA's, cluster.local"},
        RuleCase{"PolicyGlob", "policy: [{spiffe_id: /ns/*}]\n", "policy[0].spiffe_id: fits no SPIFFE ID"},
        RuleCase{"PolicyAboveAll", "policy: [{spiffe_id: \"*\", lifetime_max: 8d}]\n",
                 "policy[0].lifetime_max: 8d is more than leaf.lifetime_max, 7d"},
        RuleCase{"PolicyOtherKeys",
                 "leaf: {key_types: [ec-p256]}\npolicy: [{spiffe_id: \"*\", key_types: [ed25519]}]\n",
                 "policy[0].key_types: ed25519 is not among leaf.key_types"}),
    [](const auto& info) { return info.param.name; });

TEST_F(ResolveTest, APairOfRulesNamesBothOrigins) {
  ConfigInput input = WithFile("leaf:\n  lifetime_max: 20d\n");
  input.flags["authority.issuing_lifetime"] = {"25d"};
  EXPECT_THAT(ResolveConfig(input),
              Refuses(Code::kInvalidArgument, "CONFIG_INVALID",
                      absl::StrCat("--authority-issuing-lifetime: authority.issuing_lifetime is 25d, and twice "
                                   "leaf.lifetime_max is 40d: raise authority.issuing_lifetime to at least 40d, or "
                                   "lower leaf.lifetime_max (",
                                   file_, ":2:3) to 12d12h")));
}

constexpr char kFull[] = R"(trust_domain: a.test
server_names: [x.test, "::1"]
leaf: {lifetime: 1h, key_types: [ec-p256]}
authenticators:
- jwt:
    issuer: https://i.test
    audiences: [one, "two, three"]
    spiffe_id: spiffe://{trust_domain}/ns/{claims."kubernetes.io".ns}/sa/{claims.sa}
- jwt: {issuer: "https://j.test/#\"quoted\"", audiences: [a], jwks_file: "a b.json", spiffe_id: "spiffe://a.test/x/{claims.y}"}
policy:
- spiffe_id: "*"
  lifetime_max: 2h
  dns_names: [Web.Prod.svc]
)";

TEST_F(ResolveTest, WhatIsShownReadsBack) {
  auto config = ResolveConfig(WithFile(kFull));
  ASSERT_TRUE(config.ok()) << config.status();
  for (bool show_origin : {false, true}) {
    const std::string yaml = config->ToYaml(show_origin);
    v1::Config again;
    Origins origins;
    ASSERT_TRUE(LoadYaml(yaml, "again", "", again, origins).ok()) << yaml << LoadYaml(yaml, "", "", again, origins);
    EXPECT_EQ(again.SerializeAsString(), config->values.SerializeAsString()) << yaml;
  }
  const std::string shown = config->ToYaml(true);
  EXPECT_THAT(shown, HasSubstr(absl::StrCat("trust_domain: a.test  # ", file_, ":1:1\n")));
  EXPECT_THAT(shown, HasSubstr("http_listen: 127.0.0.1:15014  # default\n"));
  EXPECT_THAT(shown, HasSubstr(absl::StrCat("  lifetime: 1h  # ", file_, ":3:8\n")));
}

TEST(ToYaml, ShowsASectionThatSaysNothingSoThatItReadsBack) {
  v1::Config config;
  Origins origins;
  ASSERT_EQ(LoadYaml("limits: {}\n", "m.yaml", "", config, origins), absl::OkStatus());
  EXPECT_EQ(ToYaml(config, origins, false), "limits: {}\n");
}

TEST(ToYaml, HidesWhatIsMarkedSecret) {
  namespace pb = google::protobuf;
  pb::FileDescriptorProto file;
  file.set_name("secret.proto");
  file.add_dependency(v1::KeyOptions::descriptor()->file()->name());
  pb::DescriptorProto* type = file.add_message_type();
  type->set_name("Secrets");
  for (const char* name : {"user", "password"}) {
    pb::FieldDescriptorProto* field = type->add_field();
    field->set_name(name);
    field->set_number(type->field_size());
    field->set_type(pb::FieldDescriptorProto::TYPE_STRING);
    field->set_label(pb::FieldDescriptorProto::LABEL_OPTIONAL);
  }
  type->mutable_field(1)->mutable_options()->MutableExtension(v1::key)->set_secret(true);
  pb::DescriptorPool pool(pb::DescriptorPool::generated_pool());
  ASSERT_NE(pool.BuildFile(file), nullptr);
  pb::DynamicMessageFactory factory(&pool);
  const std::unique_ptr<pb::Message> message(factory.GetPrototype(pool.FindMessageTypeByName("Secrets"))->New());
  Origins origins;
  ASSERT_TRUE(LoadYaml("user: a\npassword: hunter2\n", "m.yaml", "", *message, origins).ok());
  EXPECT_EQ(ToYaml(*message, origins, true), "user: a  # m.yaml:1:1\npassword: <secret>  # m.yaml:2:1\n");
}

TEST_F(ResolveTest, AReloadKnowsWhatNeedsARestart) {
  auto before = ResolveConfig(WithFile(kFull));
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_THAT(ReloadableDiff(*before, *before).reloadable, testing::IsEmpty());
  auto after = ResolveConfig(WithFile("trust_domain: a.test\nlisten: 127.0.0.1:9\nlog: {level: debug}\n"));
  ASSERT_TRUE(after.ok()) << after.status();
  const ConfigChanges changes = ReloadableDiff(*before, *after);
  EXPECT_THAT(changes.reloadable, ElementsAre("server_names", "authenticators", "policy", "log.level"));
  EXPECT_THAT(changes.restart, ElementsAre("listen", "leaf.lifetime", "leaf.key_types"));
}

TEST_F(ResolveTest, BecomesTheTypesOfTheCa) {
  auto config = ResolveConfig(WithFile(kFull));
  ASSERT_TRUE(config.ok()) << config.status();
  auto issuers = ToJwtIssuers(config->values);
  ASSERT_TRUE(issuers.ok()) << issuers.status();
  ASSERT_EQ(issuers->size(), 2u);
  EXPECT_THAT((*issuers)[0].audiences, ElementsAre("one", "two, three"));
  EXPECT_EQ((*issuers)[1].location.file, folder_ + "/a b.json");
  auto policy = ToPolicy(config->values);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->rules()[0].lifetime_max, absl::Hours(2));
  EXPECT_THAT(policy->rules()[0].dns_names, ElementsAre("web.prod.svc")) << "as requests are compared";
}

TEST(ConfigFlags, NamesAreUniqueAndEveryKeyExplainsItself) {
  std::set<std::string> flags, variables;
  for (const ConfigFlag& flag : ConfigFlags()) {
    EXPECT_TRUE(flags.insert(flag.flag).second) << flag.flag;
    EXPECT_TRUE(variables.insert(flag.environment).second) << flag.environment;
    EXPECT_GT(flag.help.size(), 10u) << flag.key;
    EXPECT_FALSE(absl::StartsWith(flag.environment, "MESHCA_SERVICE_")) << "Kubernetes sets it: " << flag.environment;
    EXPECT_FALSE(absl::StartsWith(flag.environment, "MESHCA_PORT")) << "Kubernetes sets it: " << flag.environment;
  }
  const ConfigFlag* sds = FindConfigFlag("sds.over_mtls");
  ASSERT_NE(sds, nullptr);
  EXPECT_EQ(sds->flag, "--sds-over-mtls");
  EXPECT_EQ(sds->environment, "MESHCA_SDS_OVER_MTLS");
  EXPECT_TRUE(sds->is_bool);
  EXPECT_EQ(FindConfigFlag("log.level")->type, "debug|info|warning|error");
  EXPECT_EQ(FindConfigFlag("state_dir")->type, "path");
  EXPECT_EQ(FindConfigFlag("trust_domain")->help,
            "Trust domain of every identity issued; fixed at first start (default cluster.local)");
  EXPECT_TRUE(FindConfigFlag("server_names")->repeated);
  EXPECT_EQ(FindConfigFlag("policy"), nullptr) << "a list of mappings has no flag";
}

TEST(ConfigInput, OfProcessKnowsEnvironmentAndFolder) {
  setenv("MESHCA_TEST_VARIABLE", "a=b", 1);
  const ConfigInput input = ConfigInput::OfProcess();
  EXPECT_EQ(input.environment.at("MESHCA_TEST_VARIABLE"), "a=b");
  EXPECT_EQ(input.working_directory.front(), '/');
  EXPECT_EQ(input.is_root, geteuid() == 0);
}

}  // namespace
}  // namespace meshca::config
