#include "ca/kubernetes/open_calls.h"

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/awaited_counter.h"

namespace meshca::kubernetes {
namespace {

const absl::Duration kLongCall = 2 * http::kPatience;

ApiCall GetOfPod() {
  ApiCall call = ListOfPods();
  call.verb = "get";
  call.namespace_name = "web";
  call.name = "a";
  return call;
}

// Waits for it.
absl::StatusOr<PickedFields> NameOf(OpenCalls& calls) {
  auto told = std::make_shared<std::promise<absl::StatusOr<PickedFields>>>();
  calls.SendAndPick(GetOfPod(), {"metadata.name"},
                    [told](absl::StatusOr<PickedFields> picked) { told->set_value(std::move(picked)); });
  return told->get_future().get();
}

TEST(OpenCalls, PicksFieldsOfAnAnswerOfAnyLength) {
  const std::string filler(8 << 20, 'x');
  FakeApiServer api({Answer(
      HttpAnswer(200, absl::StrCat(R"({"metadata":{"annotations":{"filler":")", filler, R"("},"name":"a"}})")))});
  const auto server = ConnectTo(api.server());
  OpenCalls calls(*server, kLongCall);
  const absl::StatusOr<PickedFields> picked = NameOf(calls);
  ASSERT_TRUE(picked.ok()) << picked.status();
  EXPECT_EQ(picked->Text(0), "a");
}

TEST(OpenCalls, WhatIsNoObjectOrRefusedIsAnError) {
  FakeApiServer api({Answer(HttpAnswer(200, "<html>")), Answer(HttpAnswer(200, R"({"metadata":{"name":"a")")),
                     Answer(HttpAnswer(403, StatusOf(403, "Forbidden", "no")))});
  const auto server = ConnectTo(api.server());
  OpenCalls calls(*server, kLongCall);
  EXPECT_TRUE(absl::IsInvalidArgument(NameOf(calls).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(NameOf(calls).status())) << "half of one";
  EXPECT_TRUE(absl::IsPermissionDenied(NameOf(calls).status()));
}

TEST(OpenCalls, CancelEndsWhatIsUnderWayAndMakesNoMore) {
  FakeApiServer api({});  // whatever is asked hangs
  const auto server = ConnectTo(api.server());
  AwaitedCounter cancelled, others;
  const auto count = [&](const absl::Status& status) { (absl::IsCancelled(status) ? cancelled : others).Add(); };
  OpenCalls calls(*server, kLongCall);
  const auto send_both = [&] {
    calls.Send(GetOfPod(), 1024, [&](const absl::StatusOr<std::string>& answer) { count(answer.status()); });
    calls.SendAndPick(GetOfPod(), {"metadata.name"},
                      [&](const absl::StatusOr<PickedFields>& picked) { count(picked.status()); });
  };
  send_both();
  ASSERT_EQ(api.Await(2).size(), 2u);
  calls.Cancel();
  send_both();
  calls.AwaitEnd();
  EXPECT_EQ(cancelled.count(), 2);
  EXPECT_EQ(others.count(), 0);
  EXPECT_EQ(api.asked(), 2u);
}

// Whether the call's number is known to it yet or not.
TEST(OpenCalls, CancelEndsACallThatIsJustBeingSent) {
  FakeApiServer api({});
  const auto server = ConnectTo(api.server());
  for (int round = 0; round < 50; ++round) {
    AwaitedCounter begun, cancelled, others;
    OpenCalls calls(*server, absl::Seconds(10));
    std::thread sender([&] {
      for (int call = 0; call < 4; ++call) {
        begun.Add();
        calls.Send(GetOfPod(), 1024, [&](const absl::StatusOr<std::string>& answer) {
          (absl::IsCancelled(answer.status()) ? cancelled : others).Add();
        });
      }
    });
    ASSERT_TRUE(begun.Await(1 + round % 4));
    calls.AwaitEnd();
    sender.join();
    calls.AwaitEnd();
    ASSERT_EQ(others.count(), 0) << "it waited for its time";
    ASSERT_LE(cancelled.count(), 4);
  }
}

TEST(OpenCalls, ACallThatPicksIsConnectedAsSoonAsAnyOther) {
  FakeApiServer api({});  // no handshake is answered
  ApiServerOptions options;
  options.url = api.server().url("/");
  options.url.https = true;
  options.outage = WithoutProbes();
  options.connect_timeout = absl::Milliseconds(20);
  const auto server = ApiServer::Create(std::move(options)).value();
  const absl::Time begun = absl::Now();
  OpenCalls calls(*server, absl::Seconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(NameOf(calls).status()));
  EXPECT_LT(absl::Now() - begun, absl::Seconds(20)) << "not as long as the whole call may take";
}

}  // namespace
}  // namespace meshca::kubernetes
