// The parts of `meshca-bench sds`; the whole of it runs against a server in test_bench_sds.py.
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/bench/dial.h"
#include "test/bench/discovery_wire.h"
#include "test/bench/process_meter.h"
#include "test/bench/sds_command.h"
#include "test/bench/sds_report.h"
#include "test/bench/shell_command.h"

namespace meshca::bench {
namespace {

using envoy::extensions::transport_sockets::tls::v3::Secret;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kType[] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

google::protobuf::Any Packed(const std::string& name, bool with_content = true, const std::string& type = kType) {
  Secret secret;
  secret.set_name(name);
  if (with_content) secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes("roots");
  google::protobuf::Any any;
  any.set_type_url(type);
  any.set_value(secret.SerializeAsString());
  return any;
}

DiscoveryResponse Response() {
  DiscoveryResponse response;
  response.set_version_info("version-1");
  *response.add_resources() = Packed("ROOTCA");
  response.set_type_url(kType);
  response.set_nonce("17");
  return response;
}

TEST(ReadHead, FindsVersionAndNonceAmongTheOthers) {
  // Before it a scalar of each kind, which this program's protobuf does not know.
  const std::string state = std::string("\x18\x01\x39") + "8 bytes." + "\x3d" + "four" + Response().SerializeAsString();
  ASSERT_TRUE(ReadHead(state).ok());
  EXPECT_EQ(ReadHead(state)->version, "version-1");
  EXPECT_EQ(ReadHead(state)->nonce, "17");

  DeltaDiscoveryResponse delta;
  delta.set_system_version_info("version-2");
  *delta.add_resources()->mutable_resource() = Packed("ROOTCA");
  delta.set_type_url(kType);
  delta.set_nonce("18");
  delta.add_removed_resources("gone");
  const std::string bytes = delta.SerializeAsString();
  EXPECT_EQ(ReadHead(bytes)->version, "version-2");
  EXPECT_EQ(ReadHead(bytes)->nonce, "18");
}

TEST(ReadHead, RefusesEveryCutBetweenFields) {
  const std::string whole = Response().SerializeAsString();
  DiscoveryResponse parsed;
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    // Protobuf's own verdict, which at this level is the same: a cut at a field's end is a shorter message.
    EXPECT_EQ(ReadHead(cut).ok(), parsed.ParseFromString(cut)) << size;
  }
  EXPECT_FALSE(ReadHead("\x0b").ok()) << "a group";
  EXPECT_FALSE(ReadHead(std::string(11, '\xff')).ok()) << "a varint without end";
}

struct WholeCase {
  std::string name;
  void (*spoil)(DiscoveryResponse&);
  std::string words;
};
class CheckWholeRejects : public testing::TestWithParam<WholeCase> {};
TEST_P(CheckWholeRejects, AndSaysWhat) {
  DiscoveryResponse response = Response();
  GetParam().spoil(response);
  const auto names = CheckWhole(Discovery::kStateOfTheWorld, response.SerializeAsString());
  ASSERT_FALSE(names.ok());
  EXPECT_THAT(std::string(names.status().message()), HasSubstr(GetParam().words));
}
INSTANTIATE_TEST_SUITE_P(
    Responses, CheckWholeRejects,
    testing::Values(
        WholeCase{"NoNonce", [](DiscoveryResponse& r) { r.clear_nonce(); }, "without a nonce"},
        WholeCase{"OtherType", [](DiscoveryResponse& r) { r.set_type_url("x"); }, "of type \"x\""},
        WholeCase{"OtherResource", [](DiscoveryResponse& r) { *r.add_resources() = Packed("a", true, "y"); }, "\"y\""},
        WholeCase{"NoSecret", [](DiscoveryResponse& r) { r.mutable_resources(0)->set_value("\xff"); }, "is no Secret"},
        WholeCase{"NoName", [](DiscoveryResponse& r) { *r.add_resources() = Packed(""); }, "without a name"},
        WholeCase{"Empty", [](DiscoveryResponse& r) { *r.add_resources() = Packed("a", false); }, "\"a\" is empty"}),
    [](const auto& info) { return info.param.name; });

TEST(CheckWhole, NamesTheSecrets) {
  DiscoveryResponse response = Response();
  *response.add_resources() = Packed("default");
  EXPECT_THAT(*CheckWhole(Discovery::kStateOfTheWorld, response.SerializeAsString()), ElementsAre("ROOTCA", "default"));
}

// The message behind a prefix that says its length.
template <typename Request>
Request Unframed(const std::string& framed) {
  Request request;
  EXPECT_GE(framed.size(), 5u);
  EXPECT_EQ(framed.substr(0, 3), std::string(3, '\0'));
  EXPECT_EQ(static_cast<uint8_t>(framed[3]) * 256u + static_cast<uint8_t>(framed[4]), framed.size() - 5);
  EXPECT_TRUE(request.ParseFromString(framed.substr(5)));
  return request;
}

TEST(SubscriptionRequests, StateOfTheWorldNamesEverythingEachTime) {
  const SubscriptionRequests requests(Discovery::kStateOfTheWorld, {"default", "ROOTCA"});
  const auto first = Unframed<DiscoveryRequest>(requests.Subscribe("node-7"));
  EXPECT_EQ(first.node().id(), "node-7");
  EXPECT_EQ(first.type_url(), kType);
  EXPECT_THAT(first.resource_names(), ElementsAre("default", "ROOTCA"));
  EXPECT_EQ(first.response_nonce(), "");
  std::string framed;
  requests.AppendAck({"v", "21"}, framed);
  const auto ack = Unframed<DiscoveryRequest>(framed);
  EXPECT_THAT(ack.resource_names(), ElementsAre("default", "ROOTCA"));
  EXPECT_EQ(ack.version_info(), "v");
  EXPECT_EQ(ack.response_nonce(), "21");
  EXPECT_FALSE(ack.has_error_detail());
  EXPECT_FALSE(ack.has_node());
}

TEST(SubscriptionRequests, DeltaSubscribesOnce) {
  const SubscriptionRequests requests(Discovery::kDelta, {"ROOTCA"});
  const auto first = Unframed<DeltaDiscoveryRequest>(requests.Subscribe("node-7"));
  EXPECT_EQ(first.node().id(), "node-7");
  EXPECT_THAT(first.resource_names_subscribe(), ElementsAre("ROOTCA"));
  std::string framed;
  requests.AppendAck({"v", std::string(200, '9')}, framed);
  const auto ack = Unframed<DeltaDiscoveryRequest>(framed);
  EXPECT_EQ(ack.type_url(), kType);
  EXPECT_TRUE(ack.resource_names_subscribe().empty());
  EXPECT_EQ(ack.response_nonce(), std::string(200, '9'));
}

TEST(ParsePublishedAt, TakesSecondsAndRfc3339) {
  const absl::Time time = absl::FromUnixMillis(1'700'000'000'250);
  EXPECT_EQ(ParsePublishedAt("1700000000.25").value(), time);
  EXPECT_EQ(ParsePublishedAt("2023-11-14T22:13:20.250Z").value(), time);
  EXPECT_FALSE(ParsePublishedAt("yesterday").ok());
}

TEST(Dialler, SaysWhichFlagIsWrong) {
  const auto refusal = [](DialOptions options) {
    const auto dialler = Dialler::Create(std::move(options));
    return std::string(dialler.status().message());
  };
  EXPECT_THAT(refusal({"localhost", "", "", ""}), HasSubstr("neither unix:PATH nor HOST:PORT"));
  EXPECT_THAT(refusal({"localhost:", "", "", ""}), HasSubstr("neither unix:PATH nor HOST:PORT"));
  EXPECT_THAT(refusal({"unix:/x", "", "cert.pem", ""}), HasSubstr("--key"));
  EXPECT_THAT(refusal({"a:1", "", "cert.pem", "key.pem"}), HasSubstr("--root"));
  EXPECT_THAT(refusal({"a:1", "/nowhere/root.pem", "", ""}), HasSubstr("/nowhere/root.pem"));
  const auto long_path = Dialler::Create({"unix:/" + std::string(200, 'x'), "", "", ""});
  ASSERT_TRUE(long_path.ok());
  EXPECT_THAT(std::string(long_path->Dial().status().message()), HasSubstr("1 to 107 bytes"));
}

TEST(AllowDescriptors, NamesBothNumbers) {
  EXPECT_TRUE(AllowDescriptors(1).ok());
  const absl::Status refused = AllowDescriptors(size_t{1} << 40);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(absl::StrCat(size_t{1} << 40)));
}

TEST(ShellCommand, EndsWithTheWordsOfItsFailure) {
  auto command = ShellCommand::Start("exit 3");
  ASSERT_TRUE(command.ok()) << command.status();
  const absl::Status ended = (*command)->Reap();
  EXPECT_THAT(std::string(ended.message()), HasSubstr("`exit 3` exited with 3"));
  EXPECT_TRUE((*command)->HasEnded());
  EXPECT_TRUE((*ShellCommand::Start("echo unseen"))->Reap().ok());
}

TEST(ShellCommand, TheLastLineCounts) {
  EXPECT_EQ(LastLineOf("echo one; echo; echo two; echo").value(), "two");
  EXPECT_EQ(LastLineOf("printf unended").value(), "unended");
  EXPECT_THAT(std::string(LastLineOf("true").status().message()), HasSubstr("printed nothing"));
  EXPECT_THAT(std::string(LastLineOf("echo x; kill $$").status().message()), HasSubstr("signal 15"));
}

TEST(ProcessMeter, CountsWhatThisProcessUses) {
  const auto meter = ProcessMeter::Of(getpid());
  ASSERT_TRUE(meter.ok()) << meter.status();
  const absl::Duration before = meter->CpuTime().value();
  volatile uint64_t work = 0;
  for (int i = 0; i < 2'000'000; ++i) work = work + i;
  EXPECT_GT(meter->CpuTime().value(), before);
  const auto memory = meter->Memory();
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_GT(memory->resident_bytes, 0);
  EXPECT_GT(memory->private_bytes, 0);
  EXPECT_LE(memory->private_bytes, memory->resident_bytes);
  EXPECT_EQ(ProcessMeter::Of(0x7ffffff0).status().code(), absl::StatusCode::kNotFound);
}

TEST(SdsReport, DividesByStreams) {
  SdsReport report;
  report.streams = 4;
  report.before = ProcessMemory{1024 * 1000, 1024 * 500};
  report.after = ProcessMemory{1024 * 1040, 1024 * 520};
  ChangeReport change;
  change.streams = 4;
  change.spread = absl::Milliseconds(30);
  change.published = absl::Milliseconds(35);
  for (const int ms : {1, 2, 30, 20'000}) change.latencies.push_back(absl::Milliseconds(ms));
  change.server_cpu = absl::Microseconds(20);
  report.changes = {change, change};
  report.overall_cpu = absl::Microseconds(80);
  const nlohmann::json json = ToJson(report);
  EXPECT_EQ(json["server_memory"]["resident_kib_per_stream"], 10.0);
  EXPECT_EQ(json["server_memory"]["private_kib_per_stream"], 5.0);
  const nlohmann::json& one = json["changes"][0];
  EXPECT_EQ(one["server_cpu_us_per_stream"], 5.0);
  EXPECT_TRUE(one["fan_out_cpu_us_per_stream"].is_null()) << "not known";
  EXPECT_EQ(one["latency_ms"]["p50"], 30.0);
  EXPECT_EQ(one["latency_ms"]["max"], 20'000.0);
  EXPECT_EQ(one["histogram"].dump(),
            R"([{"streams":1,"up_to_ms":1},{"streams":1,"up_to_ms":2},{"streams":1,"up_to_ms":50},)"
            R"({"streams":1,"up_to_ms":null}])");
  EXPECT_EQ(json["overall_server_cpu_us_per_stream"], 10.0);
  EXPECT_EQ(json["median"]["publication_to_last_ack_ms"], 35.0);
  EXPECT_TRUE(json["median"]["trigger_to_last_ack_ms"].is_null());
}

}  // namespace
}  // namespace meshca::bench
