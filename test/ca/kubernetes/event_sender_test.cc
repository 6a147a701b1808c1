#include "ca/kubernetes/event_sender.h"

#include <gmock/gmock.h>

#include "ca/base/entropy.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/fake_clock.h"

namespace meshca::kubernetes {
namespace {

ObjectEvent Something(const std::string& object) {
  return {{"v1", "Pod", "web", object, "uid"}, false, "Done", "Sign", "it was done"};
}

class EventSenderTest : public testing::Test {
 protected:
  void Start(const http::ScriptedServer& server) {
    api_ = ConnectTo(server);
    sender_ = std::make_unique<EventSender>(EventLimits(), "meshca-0", *api_, clock_, SystemEntropy());
    sender_->Start();
  }
  bool AwaitCounts(uint64_t written, uint64_t dropped) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (absl::Now() < end) {
      const EventCounts counts = sender_->Counts();
      if (counts.written == written && counts.dropped == dropped) return true;
      absl::SleepFor(absl::Milliseconds(2));
    }
    return false;
  }

  FakeClock clock_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<EventSender> sender_;
};

TEST_F(EventSenderTest, WritesWhatItIsTold) {
  RecordingApiServer server;
  Start(server.server());
  sender_->Tell(Something("a"));
  ASSERT_TRUE(AwaitCounts(1, 0));
  EXPECT_THAT(server.last().body, testing::HasSubstr(R"("note":"it was done")"));
  sender_->Shutdown();
  sender_->Tell(Something("b"));
  EXPECT_EQ(sender_->Counts().written, 1u);
}

TEST_F(EventSenderTest, ARightThatIsMissingIsNobodysTrouble) {
  FakeApiServer server(
      {Answer(HttpAnswer(403, StatusOf(403, "Forbidden", R"(User \"m\" cannot create resource \"events\")")))});
  Start(server.server());
  sender_->Tell(Something("a"));
  ASSERT_TRUE(AwaitCounts(0, 1));
  for (int i = 0; i < 100; ++i) sender_->Tell(Something("b"));
  EXPECT_TRUE(AwaitCounts(0, 101));
  EXPECT_EQ(server.asked(), 1u) << "it is not asked again for a while";
}

TEST_F(EventSenderTest, AnApiServerThatDoesNotAnswerHoldsNobodyUp) {
  FakeApiServer server({HangAfter("")});
  Start(server.server());
  sender_->Tell(Something("a"));
  server.Await(1);
  for (int i = 0; i < 1000; ++i) sender_->Tell(Something(absl::StrCat("pod-", i)));
  EXPECT_EQ(sender_->Counts().dropped, 1000u - 127u);
  sender_->Shutdown();
}

}  // namespace
}  // namespace meshca::kubernetes
