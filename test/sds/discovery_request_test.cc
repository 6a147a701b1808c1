// The short way of reading an ACK takes nothing for one that the long way would not.
#include "sds/discovery_request.h"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "gtest/gtest.h"

namespace meshca::sds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryRequest;

constexpr char kType[] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

struct StateCase {
  std::string name;
  bool bare;
  void (*change)(DiscoveryRequest&);
};
class StateAck : public testing::TestWithParam<StateCase> {};
TEST_P(StateAck, IsBare) {
  DiscoveryRequest request;
  request.set_type_url(kType);
  request.set_version_info("0123456789abcdef");
  request.set_response_nonce("41");
  request.add_resource_names("ROOTCA");
  request.add_resource_names("spiffe://td.test/" + std::string(300, 'x'));  // a length of two bytes
  const std::vector<std::string> subscribed(request.resource_names().begin(), request.resource_names().end());
  const std::vector<absl::string_view> names(subscribed.begin(), subscribed.end());
  GetParam().change(request);
  const std::string bytes = request.SerializeAsString();
  EXPECT_EQ(IsBareAck(Protocol::kStateOfTheWorld, bytes, "41", names), GetParam().bare);
  if (!GetParam().bare) return;  // what is left of a NACK may be an ACK
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(IsBareAck(Protocol::kStateOfTheWorld, bytes.substr(0, size), "41", names)) << "cut at " << size;
  }
}
INSTANTIATE_TEST_SUITE_P(
    Requests, StateAck,
    testing::Values(
        StateCase{"Ack", true, [](DiscoveryRequest&) {}},
        StateCase{"OtherVersion", true, [](DiscoveryRequest& r) { r.set_version_info("v"); }},
        StateCase{"OtherNonce", false, [](DiscoveryRequest& r) { r.set_response_nonce("4"); }},
        StateCase{"NoNonce", false, [](DiscoveryRequest& r) { r.clear_response_nonce(); }},
        StateCase{"Nack", false, [](DiscoveryRequest& r) { r.mutable_error_detail(); }},
        StateCase{"OtherType", false, [](DiscoveryRequest& r) { r.set_type_url("x"); }},
        StateCase{"OneName", false, [](DiscoveryRequest& r) { r.mutable_resource_names()->RemoveLast(); }},
        StateCase{"NoName", false, [](DiscoveryRequest& r) { r.clear_resource_names(); }},
        StateCase{"OtherName", false, [](DiscoveryRequest& r) { r.set_resource_names(0, "ROOTCB"); }},
        StateCase{"OtherOrder", false, [](DiscoveryRequest& r) { r.mutable_resource_names()->SwapElements(0, 1); }},
        StateCase{"OneMoreName", false, [](DiscoveryRequest& r) { r.add_resource_names("default"); }},
        StateCase{"Node", false, [](DiscoveryRequest& r) { r.mutable_node()->set_id("n"); }},
        StateCase{"LongVersion", false, [](DiscoveryRequest& r) { r.set_version_info(std::string(20'000, 'v')); }}),
    [](const auto& info) { return info.param.name; });

TEST(DeltaAck, IsBareWhenItSubscribesToNothing) {
  DeltaDiscoveryRequest request;
  request.set_type_url(kType);
  request.set_response_nonce("41");
  const std::vector<absl::string_view> names = {"ROOTCA"};
  const auto is_bare = [&] { return IsBareAck(Protocol::kDelta, request.SerializeAsString(), "41", names); };
  EXPECT_TRUE(is_bare());
  EXPECT_FALSE(IsBareAck(Protocol::kDelta, request.SerializeAsString(), "42", names));
  request.add_resource_names_subscribe("ROOTCA");
  EXPECT_FALSE(is_bare());
  request.clear_resource_names_subscribe();
  request.add_resource_names_unsubscribe("ROOTCA");
  EXPECT_FALSE(is_bare());
  request.clear_resource_names_unsubscribe();
  request.mutable_error_detail();
  EXPECT_FALSE(is_bare());
}

TEST(BareAck, IsNoGarbage) {
  for (const std::string& bytes :
       {std::string("\x2a"),
        std::string("\x2a\x05"
                    "41"),
        std::string("\x28\x05"), std::string("\x2a\xff\xff\xff\xff\x0f"), std::string("\xaa\x01\x00", 3)}) {
    EXPECT_FALSE(IsBareAck(Protocol::kStateOfTheWorld, bytes, "41", {}));
  }
}

}  // namespace
}  // namespace meshca::sds
