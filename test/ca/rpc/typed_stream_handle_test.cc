// Visits of a stream's handler by the handler's own type.
#include "ca/rpc/typed_stream_handle.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "test/sds/fake_edge.h"

namespace meshca::rpc {
namespace {

using sds::FakeLoop;
using sds::FakeStream;

class GeneralHandler : public StreamHandler {
 public:
  void OnMessage(absl::string_view) override {}
  void OnHalfClose() override {}
  void OnClose(const absl::Status&) override {}
  int general = 0;
};
class ParticularHandler final : public GeneralHandler {
 public:
  int particular = 0;
};

// A stream with a ParticularHandler.
struct Typed {
  explicit Typed(FakeLoop& loop) : stream(loop, nullptr) {
    auto made = std::make_unique<ParticularHandler>();
    handler = made.get();
    stream.Attach(std::move(made));
  }
  TypedStreamHandle<ParticularHandler> Handle() { return {stream, *handler}; }

  FakeStream stream;
  ParticularHandler* handler;
};

TEST(TypedStreamHandle, AVisitGetsTheHandlerByItsOwnType) {
  FakeLoop loop;
  Typed typed(loop);
  typed.Handle().Post([](ParticularHandler& handler) { ++handler.particular; });
  EXPECT_EQ(typed.handler->particular, 0) << "the loop has not run";
  loop.Drain();
  EXPECT_EQ(typed.handler->particular, 1);
}

TEST(TypedStreamHandle, AMoreParticularHandlerPassesForAMoreGeneralOne) {
  FakeLoop loop;
  Typed typed(loop);
  const TypedStreamHandle<GeneralHandler> general = typed.Handle();
  EXPECT_TRUE(general);
  general.Post([](GeneralHandler& handler) { ++handler.general; });
  loop.Drain();
  EXPECT_EQ(typed.handler->general, 1);
}

TEST(TypedStreamHandle, PostAllVisitsEachStreamAndPassesOverEmptyHandles) {
  FakeLoop loop;
  Typed one(loop), two(loop);
  std::vector<TypedStreamHandle<GeneralHandler>> handles = {one.Handle(), {}, two.Handle()};
  EXPECT_FALSE(handles[1]);
  TypedStreamHandle<GeneralHandler>::PostAll(std::move(handles), [](GeneralHandler& handler) { ++handler.general; });
  loop.Drain();
  EXPECT_EQ(one.handler->general, 1);
  EXPECT_EQ(two.handler->general, 1);
}

TEST(TypedStreamHandle, AVisitOfAStreamThatHasEndedIsDropped) {
  FakeLoop loop;
  Typed typed(loop);
  const TypedStreamHandle<ParticularHandler> handle = typed.Handle();
  typed.stream.Close(absl::OkStatus());
  handle.Post([](ParticularHandler&) { FAIL() << "there is no handler"; });
  loop.Drain();
}

TEST(TypedStreamHandle, CostsNoMoreThanAHandle) {
  EXPECT_EQ(sizeof(TypedStreamHandle<ParticularHandler>), sizeof(StreamHandle));
}

}  // namespace
}  // namespace meshca::rpc
