#include "cli/config/loader.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/config/value.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "meshca/config/v1/config.pb.h"
#include "test/ca/authn/refuses.h"

namespace meshca::config {
namespace {

using testing::ElementsAre;
using Code = absl::StatusCode;

struct Loaded {
  absl::Status status;
  v1::Config values;
  Origins origins;
};

Loaded Load(absl::string_view text) {
  Loaded loaded;
  loaded.status = LoadYaml(text, "m.yaml", "/etc/meshca", loaded.values, loaded.origins);
  return loaded;
}

TEST(LoadYaml, ReadsAConfigurationAsUsersWriteIt) {
  const Loaded loaded = Load(R"(trust_domain: cluster.local
listen: 127.0.0.1:15012
authenticators:
- jwt:
    issuer: https://issuer.test
    audiences: [istio-ca]
    jwks_file: jwks.json              # or jwks_url
    spiffe_id: spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}
leaf: {lifetime: 1h30m, key_types: [ec-p256, rsa-2048]}
sds:
  over_mtls: true
  renew_at_percent: 40
log: {level: warning}
)");
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  const v1::Config& values = loaded.values;
  EXPECT_EQ(values.trust_domain(), "cluster.local");
  ASSERT_EQ(values.authenticators_size(), 1);
  const v1::Jwt& jwt = values.authenticators(0).jwt();
  EXPECT_EQ(jwt.issuer(), "https://issuer.test");
  EXPECT_THAT(jwt.audiences(), ElementsAre("istio-ca"));
  EXPECT_EQ(jwt.jwks_file(), "/etc/meshca/jwks.json") << "beside the configuration file";
  EXPECT_EQ(jwt.spiffe_id(), "spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}");
  EXPECT_EQ(values.leaf().lifetime().seconds(), 5400);
  EXPECT_THAT(values.leaf().key_types(), ElementsAre(v1::KEY_TYPE_EC_P256, v1::KEY_TYPE_RSA_2048));
  EXPECT_TRUE(values.sds().over_mtls());
  EXPECT_EQ(values.sds().renew_at_percent(), 40u);
  EXPECT_EQ(values.log().level(), v1::LOG_LEVEL_WARNING);
  EXPECT_EQ(loaded.origins.at("listen").where, "m.yaml:2:1");
  EXPECT_EQ(loaded.origins.at("sds.over_mtls").where, "m.yaml:11:3");
  EXPECT_EQ(loaded.origins.at("authenticators[0].jwt.issuer").where, "m.yaml:5:5");
  EXPECT_FALSE(values.has_http_listen()) << "defaults are not the loader's";
}

TEST(LoadYaml, NothingIsAConfigurationToo) {
  for (absl::string_view text : {"", "\n", "# all defaults\n", "---\n", "{}\n", "---\n...\n"}) {
    EXPECT_TRUE(Load(text).status.ok()) << text << Load(text).status;
  }
}

struct FaultCase {
  const char* name;
  std::string yaml;
  const char* error;  // the beginning of the message
};

class LoadYamlFault : public testing::TestWithParam<FaultCase> {};

TEST_P(LoadYamlFault, NamesFileLineColumnAndKey) {
  const absl::Status status = Load(GetParam().yaml).status;
  EXPECT_THAT(status, Refuses(Code::kInvalidArgument, "CONFIG_INVALID", GetParam().error));
  EXPECT_THAT(std::string(status.message()), testing::StartsWith(GetParam().error));
}

std::string Nested(int depth) {
  std::string text = "listen: ";
  for (int i = 0; i < depth; ++i) text += "[";
  for (int i = 0; i < depth; ++i) text += "]";
  return text;
}

constexpr char kJwt[] = "authenticators:\n- jwt:\n    issuer: i\n    audiences: [a]\n    spiffe_id: s\n";

INSTANTIATE_TEST_SUITE_P(
    Keys, LoadYamlFault,
    testing::Values(
        FaultCase{"Unknown", "listen: x\nlisten_address: y\n", "m.yaml:2:1: listen_address: unknown key; "},
        FaultCase{"Slip", "sds:\n  over_mtsl: true\n",
                  "m.yaml:2:3: sds.over_mtsl: unknown key; did you mean \"over_mtls\"?"},
        FaultCase{"Hyphen", "trust-domain: a\n",
                  "m.yaml:1:1: trust-domain: unknown key; did you mean \"trust_domain\"?"},
        FaultCase{"NothingLikeIt", "log:\n  xyz: 1\n", "m.yaml:2:3: log.xyz: unknown key; there are format, level"},
        FaultCase{"InAList", absl::StrCat(kJwt, "    issuers: j\n"),
                  "m.yaml:6:5: authenticators[0].jwt.issuers: unknown key; did you mean \"issuer\"?"},
        FaultCase{"Twice", "listen: a:1\nhttp_listen: b:1\nlisten: c:1\n",
                  "m.yaml:3:1: listen: stands twice; the first is in line 1"},
        FaultCase{"TwiceInFlow", "log: {level: info, level: info}\n", "m.yaml:1:20: log.level: stands twice"},
        FaultCase{"ListAsKey", "? [a]\n: b\n", "m.yaml:1:3: expects a word as key, not a list"},
        FaultCase{"MergeKey", "<<: {listen: a}\n", "m.yaml:1:1: <<: unknown key"},
        FaultCase{"Required", "authenticators:\n- jwt: {audiences: [a], spiffe_id: s}\n",
                  "m.yaml:2:8: authenticators[0].jwt: lacks the key \"issuer\": The iss claim"},
        FaultCase{"NoKind", "authenticators:\n- {}\n", "m.yaml:2:3: authenticators[0]: expects one of the keys jwt"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Types, LoadYamlFault,
    testing::Values(
        FaultCase{"RootIsAList", "- a\n", "m.yaml:1:1: expects a mapping of keys, not a list"},
        FaultCase{"RootIsText", "hello\n", "m.yaml:1:1: expects a mapping of keys, not text"},
        FaultCase{"TextForMapping", "sds: on\n", "m.yaml:1:6: sds: expects a mapping of keys, not text"},
        FaultCase{"MappingForText", "listen: {host: a}\n", "m.yaml:1:9: listen: expects text, not a mapping"},
        FaultCase{"ListForText", "listen: [a]\n", "m.yaml:1:9: listen: expects text, not a list"},
        FaultCase{"TextForList", "server_names: a\n",
                  "m.yaml:1:15: server_names: expects a list, not text; begin each"},
        FaultCase{"ListInList", "server_names: [[a]]\n", "m.yaml:1:16: server_names[0]: expects text, not a list"},
        FaultCase{"NoValue", "listen:\n", "m.yaml:1:1: listen: has no value"},
        FaultCase{"Null", "listen: ~\n", "m.yaml:1:1: listen: has no value"},
        FaultCase{"NullItem", "server_names:\n- a\n-\n",
                  "m.yaml:2:1: server_names[1]: has no value; give it one or remove the item"},
        FaultCase{"EmptyText", "listen: ''\n", "m.yaml:1:9: listen: is empty"},
        FaultCase{"ControlByte", "listen: \"a\\x07\"\n", "m.yaml:1:9: listen: holds a control character: \"a\\x07\""},
        FaultCase{"YesForBool", "sds: {over_mtls: yes}\n",
                  "m.yaml:1:18: sds.over_mtls: expects true or false, not \"yes\""},
        FaultCase{"QuotedBool", "sds: {over_mtls: \"true\"}\n",
                  "m.yaml:1:18: sds.over_mtls: expects true|false, not text in quotes"},
        FaultCase{"TextForNumber", "limits: {connections_max: many}\n",
                  "m.yaml:1:27: limits.connections_max: expects a whole number, not \"many\""},
        FaultCase{
            "Octal", "limits: {connections_max: 010}\n",
            "m.yaml:1:27: limits.connections_max: has a leading zero, which some readers take for octal: write 10"},
        FaultCase{"Hex", "limits: {connections_max: 0x10}\n", "m.yaml:1:27: limits.connections_max: expects a whole"},
        FaultCase{"Float", "limits: {connections_max: 1e3}\n", "m.yaml:1:27: limits.connections_max: expects a whole"},
        FaultCase{"Negative", "limits: {connections_max: -1}\n",
                  "m.yaml:1:27: limits.connections_max: expects a number from 1 to 1000000, not -1"},
        FaultCase{"TooLarge", "sds: {renew_at_percent: 91}\n",
                  "m.yaml:1:25: sds.renew_at_percent: expects a number from 10 to 90, not 91"},
        FaultCase{"Overflow", "sds: {renew_at_percent: 99999999999999999999}\n",
                  "m.yaml:1:25: sds.renew_at_percent: expects a number from 10 to 90"},
        FaultCase{"UnknownEnum", "log: {level: loud}\n",
                  "m.yaml:1:14: log.level: expects one of debug, info, warning, error, not \"loud\""},
        FaultCase{"UnspecifiedEnum", "log: {level: unspecified}\n", "m.yaml:1:14: log.level: expects one of"},
        FaultCase{"DurationWithoutUnit", "leaf: {lifetime: 24}\n",
                  "m.yaml:1:18: leaf.lifetime: expects a duration such as 90s, 24h, 30d or 1h30m (ms s m h d y), not "
                  "\"24\": it lacks its unit"},
        FaultCase{"DurationNegative", "leaf: {lifetime: -1h}\n", "m.yaml:1:18: leaf.lifetime: expects a duration"},
        FaultCase{"DurationZero", "leaf: {lifetime: 0s}\n", "m.yaml:1:18: leaf.lifetime: expects at least 10s, not 0s"},
        FaultCase{"DurationTooLong", "leaf: {backdate: 3d}\n",
                  "m.yaml:1:18: leaf.backdate: expects at most 1d, not 3d"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Form, LoadYamlFault,
    testing::Values(FaultCase{"Anchor", "listen: &a x\nhttp_listen: y\n", "m.yaml:1:9: an anchor (&name)"},
                    FaultCase{"AnchorAndAlias", "listen: &a x\nhttp_listen: *a\n", "m.yaml:1:9: an anchor"},
                    FaultCase{"AnchoredMapping", "log: &l\n  level: info\n", "m.yaml:1:6: an anchor"},
                    FaultCase{"UnknownAlias", "listen: *a\n", "m.yaml:1:9: YAML: "},
                    FaultCase{"Tag", "listen: !!str x\n", "m.yaml:1:9: a tag (!name)"},
                    FaultCase{"SecondDocument", "listen: a:1\n---\nlisten: b:1\n",
                              "m.yaml:2:1: a second document begins here"},
                    FaultCase{"Syntax", "listen: [a\nhttp_listen: b\n", "m.yaml:2:12: YAML: "},
                    FaultCase{"Indentation", "log:\n  level: info\n format: text\n", "m.yaml:3:2: YAML: "},
                    FaultCase{"Tab", "log:\n\tlevel: info\n", "m.yaml:2:7: YAML: "},
                    FaultCase{"Nul", std::string("listen: a\0b\n", 12), "m.yaml:1:10: a byte that is no UTF-8"},
                    FaultCase{"Latin1", "# caf\xe9\n", "m.yaml:1:6: a byte that is no UTF-8"},
                    FaultCase{"Utf16", std::string("\xff\xfel\0i\0", 6), "m.yaml:1:1: a byte that is no UTF-8"},
                    FaultCase{"Surrogate", "listen: \xed\xa0\x80\n", "m.yaml:1:9: a byte that is no UTF-8"},
                    FaultCase{"Overlong", "listen: \xc0\xaf\n", "m.yaml:1:9: a byte that is no UTF-8"},
                    FaultCase{"TooDeep", Nested(20), "m.yaml:1:24: nested deeper than 16 levels"},
                    FaultCase{"FarTooDeep", Nested(20000), "m.yaml:1:24: nested deeper than 16 levels"},
                    FaultCase{"TooLong", "# " + std::string(kFileBytesMax, 'x'), "m.yaml: the file has 1048578 bytes"},
                    FaultCase{"TooManyValues",
                              [] {
                                std::string text = "server_names: [";
                                for (size_t i = 0; i <= kNodesMax; ++i) text += "a,";
                                return text + "]";
                              }(),
                              "m.yaml:1:200010: more than 100000 values"}),
    [](const auto& info) { return info.param.name; });

TEST(LoadYaml, ShowsAllFaultsInTheFilesOrder) {
  const absl::Status status = Load("sds:\n  over_mtls: 1\nlog:\n  level: x\nlisten: ~\n").status;
  EXPECT_EQ(status.message(),
            "m.yaml:2:14: sds.over_mtls: expects true or false, not \"1\"\n"
            "m.yaml:4:10: log.level: expects one of debug, info, warning, error, not \"x\"\n"
            "m.yaml:5:1: listen: has no value; give it one or leave the key out");
}

TEST(LoadYaml, StopsShowingAtTwentyFaults) {
  std::string text;
  for (int i = 0; i < 25; ++i) absl::StrAppend(&text, "zz", i, ": 1\n");
  const std::string message(Load(text).status.message());
  EXPECT_THAT(message, testing::EndsWith("\n... and 5 more"));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 20);
}

TEST(LoadYaml, TakesTextAsWritten) {
  const Loaded loaded = Load("trust_domain: 010\nserver_names: [yes, \"true\", 1.10, a b]\n");
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  EXPECT_EQ(loaded.values.trust_domain(), "010");
  EXPECT_THAT(loaded.values.server_names(), ElementsAre("yes", "true", "1.10", "a b"));
}

class LoadYamlFileTest : public testing::Test {
 protected:
  LoadYamlFileTest() {
    char pattern[] = "/tmp/meshca-config-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~LoadYamlFileTest() override {
    unlink((folder_ + "/m.yaml").c_str());
    rmdir(folder_.c_str());
  }
  std::string folder_;
  v1::Config values_;
  Origins origins_;
};

TEST_F(LoadYamlFileTest, PathsStartAtTheFilesFolder) {
  const std::string path = folder_ + "/m.yaml";
  std::ofstream(path) << "kek_file: keys/kek\nstate_dir: /var/lib/x\n";
  ASSERT_TRUE(LoadYamlFile(path, values_, origins_).ok());
  EXPECT_EQ(values_.kek_file(), folder_ + "/keys/kek");
  EXPECT_EQ(values_.state_dir(), "/var/lib/x");
  EXPECT_EQ(origins_.at("kek_file").where, path + ":1:1");
}

TEST_F(LoadYamlFileTest, SaysWhichFileIsNotThere) {
  const absl::Status missing = LoadYamlFile(folder_ + "/m.yaml", values_, origins_);
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_THAT(std::string(missing.message()), testing::HasSubstr(folder_ + "/m.yaml"));
  EXPECT_FALSE(LoadYamlFile(folder_, values_, origins_).ok()) << "a folder is no file";
}

struct DurationCase {
  const char* text;
  absl::Duration duration;
};

TEST(Durations, ReadBackAsWritten) {
  for (const DurationCase& each :
       {DurationCase{"90s", absl::Seconds(90)}, DurationCase{"24h", absl::Hours(24)},
        DurationCase{"30d", absl::Hours(720)}, DurationCase{"10y", absl::Hours(87600)},
        DurationCase{"1h30m", absl::Minutes(90)}, DurationCase{"500ms", absl::Milliseconds(500)},
        DurationCase{"2d1h1m1s1ms", absl::Hours(49) + absl::Seconds(61) + absl::Milliseconds(1)},
        DurationCase{"0s", absl::ZeroDuration()}}) {
    auto duration = ParseDuration(each.text);
    ASSERT_TRUE(duration.ok()) << duration.status();
    EXPECT_EQ(*duration, each.duration) << each.text;
    EXPECT_EQ(*ParseDuration(DurationText(*duration)), *duration) << DurationText(*duration);
  }
  EXPECT_EQ(DurationText(absl::Hours(24)), "24h");
  EXPECT_EQ(DurationText(absl::Hours(720)), "30d");
  EXPECT_EQ(DurationText(absl::Hours(87600)), "10y");
}

TEST(Durations, RefuseWhatIsNotOne) {
  for (absl::string_view text : {"", "0", "5", "s", "1 h", "1.5h", "-1h", "+1h", "1h1h", "1m1h", "1w", "1H", "h1",
                                 "1h ", "4294967296s", "99999999999999999999s", "1001y"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

}  // namespace
}  // namespace meshca::config
