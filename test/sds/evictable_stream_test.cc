// Streams of a subscriber that the operator evicted.
#include "sds/evictable_stream.h"

#include <memory>

#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/sds/fake_edge.h"

namespace meshca::sds {
namespace {

// Ends when it is told to, as a stream of SDS does.
class EndingStream final : public EvictableStream {
 public:
  void OnMessage(absl::string_view) override {}
  void OnHalfClose() override {}
  void OnClose(const absl::Status&) override {}
  void OnEvicted(const absl::Status& why) override { told = why; }
  absl::Status told;
};

TEST(EvictableStream, IsToldOnItsOwnLoopAndAsksAgain) {
  FakeLoop loop;
  FakeStream stream(loop, nullptr);
  stream.Attach(std::make_unique<EndingStream>());
  auto& handler = static_cast<EndingStream&>(stream.handler());
  const absl::Status& told = handler.told;
  EndWhenEvicted(rpc::TypedStreamHandle<EvictableStream>(stream, handler))();
  EXPECT_TRUE(told.ok()) << "its loop has not run yet";
  loop.Drain();
  EXPECT_EQ(told.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(told), "SUBSCRIBER_EVICTED");
}

}  // namespace
}  // namespace meshca::sds
