// One change of trust reaches ten thousand streams with bytes serialised once a protocol.
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "sds/discovery_response.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

constexpr int kStreams = 10'000;

TEST(FanOut, OneSnapshotOneSerialisation) {
  World world;
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < kStreams; ++i) {
    const Protocol protocol = i % 2 == 0 ? Protocol::kStateOfTheWorld : Protocol::kDelta;
    proxies.push_back(std::make_unique<Proxy>(world, world.UnixPeer(1000, 1 + i % 1000), protocol));
    proxies.back()->Ask({"ROOTCA"});
  }
  world.loop.Drain();
  for (const auto& proxy : proxies) ASSERT_EQ(proxy->stream().sent.size(), 1);
  for (size_t i = 0; i < proxies.size(); ++i) {
    i % 2 == 0 ? (void)proxies[i]->Await(1) : (void)proxies[i]->AwaitDelta(1);
    proxies[i]->Ack();
  }
  EXPECT_EQ(world.registry->Stats().acknowledged, kStreams);

  const uint64_t before = ResponsesSerialised();
  world.trust.Publish({RootA(), RootB()});
  world.loop.Drain();
  EXPECT_EQ(ResponsesSerialised() - before, 2);
  for (size_t i = 0; i < proxies.size(); ++i) {
    ASSERT_EQ(proxies[i]->stream().sent.size(), 2);
    EXPECT_EQ(proxies[i]->stream().sent[1], proxies[i % 2]->stream().sent[1]) << "not the same bytes";
    i % 2 == 0 ? (void)proxies[i]->Await(2) : (void)proxies[i]->AwaitDelta(2);
    proxies[i]->Ack();
  }
  for (const SubscriberRecord& record : world.registry->List()) EXPECT_EQ(record.trust_version, 2);
  EXPECT_EQ(world.registry->List().size(), 1000);
  EXPECT_EQ(ResponsesSerialised() - before, 2) << "an ACK is not answered";
}

}  // namespace
}  // namespace meshca::sds
