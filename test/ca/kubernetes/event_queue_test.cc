#include "ca/kubernetes/event_queue.h"

#include <gmock/gmock.h>

#include <memory>

#include "ca/kubernetes/api_refusal.h"
#include "ca/kubernetes/picked_fields.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca::kubernetes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kTold = absl::Hours(1);
const absl::Time kToldAt = absl::FromUnixSeconds(1767323045);

ObjectEvent EventOn(const std::string& object, const std::string& note = "it was denied") {
  return {{"v1", "Pod", "web", object, object + "-uid"}, true, "Denied", "Sign", note};
}

class EventQueueTest : public testing::Test {
 protected:
  void Add(const ObjectEvent& event, absl::Duration now) {
    queue_.Add(event, absl::StrCat("meshca-", ++names_), now, kToldAt + (now - kTold));
  }
  // Writes all that is due until `until`, each well; returns the calls.
  std::vector<ApiCall> WriteUntil(absl::Duration until) {
    std::vector<ApiCall> calls;
    while (queue_.NextDue() <= until) {
      const absl::Duration now = std::max(queue_.NextDue(), kTold);
      calls.push_back(*queue_.TakeDue(now));
      queue_.Ended(absl::OkStatus(), now);
    }
    return calls;
  }

  EventQueue queue_{EventLimits(), "meshca-0"};
  int names_ = 0;
};

TEST_F(EventQueueTest, WritesEachOnceAndThenHowOftenItCame) {
  Add(EventOn("a"), kTold);
  Add(EventOn("b"), kTold);
  const std::vector<ApiCall> made = WriteUntil(kTold + absl::Seconds(10));
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ(made[0].verb, "create");
  EXPECT_EQ(made[0].namespace_name, "web");
  for (int second = 10; second < 40; ++second) Add(EventOn("a"), kTold + absl::Seconds(second));
  const std::vector<ApiCall> again = WriteUntil(kTold + absl::Minutes(5));
  ASSERT_EQ(again.size(), 1u) << "one write a minute, however often it came";
  EXPECT_EQ(again[0].verb, "patch");
  EXPECT_EQ(again[0].name, "meshca-1");
  EXPECT_THAT(again[0].body, HasSubstr(R"("count":31)"));
  EXPECT_EQ(queue_.written(), 3u);
  EXPECT_EQ(queue_.dropped(), 0u);
}

TEST_F(EventQueueTest, WhatComesAgainBeforeItIsWrittenIsCountedToo) {
  for (int i = 0; i < 3; ++i) Add(EventOn("a"), kTold);
  const std::vector<ApiCall> calls = WriteUntil(kTold + absl::Minutes(5));
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].verb, "create");
  EXPECT_THAT(calls[1].body, HasSubstr(R"("count":3)"));
}

TEST_F(EventQueueTest, WhatComesAgainLaterIsAnotherEvent) {
  Add(EventOn("a"), kTold);
  WriteUntil(kTold);
  Add(EventOn("a"), kTold + absl::Minutes(11));
  const std::vector<ApiCall> calls = WriteUntil(kTold + absl::Minutes(12));
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].verb, "create");
}

TEST_F(EventQueueTest, HasBoundsForAnObjectAndForAll) {
  for (int i = 0; i < 100; ++i) Add(EventOn("a", absl::StrCat("note ", i)), kTold);
  EXPECT_EQ(queue_.dropped(), 92u);
  for (int i = 0; i < 1000; ++i) {
    ObjectEvent event = EventOn(absl::StrCat("pod-", i));
    event.regarding.namespace_name = absl::StrCat("web-", i % 100);
    Add(std::move(event), kTold);
  }
  EXPECT_EQ(queue_.dropped(), 92u + 1000u - 504u);
  EXPECT_EQ(WriteUntil(kTold + absl::Seconds(10)).size(), 51u) << "five a second";
  EXPECT_EQ(WriteUntil(kTold + absl::Minutes(5)).size(), 512u - 51u);
  // What is written and old makes room.
  Add(EventOn("late"), kTold + absl::Minutes(20));
  EXPECT_EQ(WriteUntil(kTold + absl::Minutes(20)).size(), 1u);
}

TEST_F(EventQueueTest, WhatHappensInOneNamespaceKeepsNoOtherFromBeingTold) {
  for (int i = 0; i < 1000; ++i) Add(EventOn(absl::StrCat("pod-", i)), kTold);
  ObjectEvent rotation = EventOn("lease", "a rotation of the root has begun");
  rotation.regarding.namespace_name = "kube-system";
  Add(rotation, kTold);
  EXPECT_EQ(queue_.dropped(), 1000u - 128u);
  const std::vector<ApiCall> calls = WriteUntil(kTold + absl::Minutes(1));
  ASSERT_EQ(calls.size(), 129u) << "within half a minute";
  EXPECT_THAT(calls.back().body, HasSubstr("a rotation of the root"));
}

TEST_F(EventQueueTest, WithoutTheRightItPauses) {
  for (const char* pod : {"a", "b", "c"}) Add(EventOn(pod), kTold);
  ASSERT_TRUE(queue_.TakeDue(kTold).has_value());
  EXPECT_EQ(queue_.TakeDue(kTold + absl::Minutes(1)), std::nullopt) << "one at a time";
  queue_.Ended(absl::PermissionDeniedError("no right"), kTold);
  EXPECT_EQ(queue_.NextDue(), absl::InfiniteDuration());
  Add(EventOn("d"), kTold + absl::Minutes(9));
  EXPECT_EQ(queue_.dropped(), 4u);
  Add(EventOn("d"), kTold + absl::Minutes(10));
  EXPECT_EQ(WriteUntil(kTold + absl::Minutes(11)).size(), 1u);
}

TEST_F(EventQueueTest, TriesAgainAFewTimesWhatMayPassAndNothingElse) {
  Add(EventOn("a"), kTold);
  absl::Duration now = kTold;
  int tries = 0;
  for (; queue_.NextDue() != absl::InfiniteDuration(); ++tries) {
    now = std::max(now, queue_.NextDue());
    ASSERT_TRUE(queue_.TakeDue(now).has_value());
    queue_.Ended(absl::UnavailableError("away"), now);
  }
  EXPECT_EQ(tries, EventLimits().tries);
  EXPECT_EQ(queue_.dropped(), 1u);
  Add(EventOn("b"), now);
  now = std::max(now, queue_.NextDue());
  ASSERT_TRUE(queue_.TakeDue(now).has_value());
  queue_.Ended(absl::NotFoundError("the namespace is gone"), now);
  EXPECT_EQ(queue_.NextDue(), absl::InfiniteDuration());
  EXPECT_EQ(queue_.dropped(), 2u);
}

TEST_F(EventQueueTest, LeavesTheApiServerAloneAsLongAsItAsks) {
  Add(EventOn("a"), kTold);
  ASSERT_TRUE(queue_.TakeDue(kTold).has_value());
  http::Response busy;
  busy.status = 429;
  busy.headers.Add("Retry-After", "30");
  queue_.Ended(RefusalStatus(ApiCall(), busy, StatusOf(429, "TooManyRequests", "slow down")), kTold);
  EXPECT_EQ(queue_.NextDue(), kTold + absl::Seconds(30));
  Add(EventOn("b"), kTold);
  EXPECT_EQ(queue_.NextDue(), kTold + absl::Seconds(30)) << "whatever else is to be written";
}

TEST(ObjectEventTest, IsWhatTheApiServerTakes) {
  RecordingApiServer recorder;
  const std::unique_ptr<ApiServer> server = ConnectTo(recorder.server());
  ObjectEvent event = EventOn("web-1", std::string(1023, 'x') + "ä\n");
  ASSERT_TRUE(Ask(*server, CallToCreateEvent(event, "meshca-1", std::string(200, 'r'), kToldAt)).ok());
  EXPECT_THAT(recorder.last().head, StartsWith("POST /prefix/apis/events.k8s.io/v1/namespaces/web/events?"));
  const std::string body = recorder.last().body;
  const PickedFields fields =
      *PickFields(body, {"eventTime", "reportingController", "reportingInstance", "type", "reason", "action", "note",
                         "regarding.uid", "metadata.namespace", "metadata.name"});
  EXPECT_EQ(fields.Text(0), "2026-01-02T03:04:05.000000Z");
  EXPECT_EQ(fields.Text(1), "meshca.io/meshca");
  EXPECT_EQ(fields.Text(2).size(), 128u);
  EXPECT_EQ(fields.Text(3), "Warning");
  EXPECT_EQ(fields.Text(4), "Denied");
  EXPECT_EQ(fields.Text(5), "Sign");
  EXPECT_EQ(fields.Text(6), std::string(1023, 'x')) << "at most 1,024 bytes, and no half of a character";
  EXPECT_EQ(fields.Text(7), "web-1-uid");
  EXPECT_EQ(fields.Text(8), "web");
  EXPECT_EQ(fields.Text(9), "meshca-1");
  event.regarding = {"certificates.k8s.io/v1", "ClusterTrustBundle", "", "istio.io:istiod-ca:root-cert", ""};
  ASSERT_TRUE(Ask(*server, CallToCreateEvent(event, "meshca-2", "r", kToldAt)).ok());
  EXPECT_THAT(recorder.last().head, StartsWith("POST /prefix/apis/events.k8s.io/v1/namespaces/default/events?"));
  ASSERT_TRUE(Ask(*server, CallToRepeatEvent(event, "meshca-2", 7, kToldAt)).ok());
  EXPECT_THAT(recorder.last().head,
              StartsWith("PATCH /prefix/apis/events.k8s.io/v1/namespaces/default/events/meshca-2 "));
  EXPECT_THAT(recorder.last().head, HasSubstr("application/merge-patch+json"));
  EXPECT_EQ(recorder.last().body, R"({"series":{"count":7,"lastObservedTime":"2026-01-02T03:04:05.000000Z"}})");
  EXPECT_THAT(CallToRepeatEvent(event, "meshca-2", 7, kToldAt).RbacRule(),
              testing::AllOf(HasSubstr("verbs: [patch]"), Not(HasSubstr("create"))));
}

}  // namespace
}  // namespace meshca::kubernetes
