#include "ca/request_signing/pending_requests.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct NamedRequest final : ApiRequest {
  std::string Text() const override { return absl::StrCat("request ", uid); }
};

ApiRequestPtr Named(const std::string& uid, const std::string& version = "1", const std::string& asker = "",
                    const std::string& account = "") {
  auto request = std::make_shared<NamedRequest>();
  request->asker = {asker, "", account};
  request->uid = uid;
  request->resource_version = version;
  return request;
}

class PendingRequestsTest : public testing::Test {
 protected:
  PendingRequests Make(size_t at_once = 32, size_t pending_max = 4) {
    return {PendingOptions{.at_once = at_once,
                           .pending_max = pending_max,
                           .retry_first = absl::Seconds(1),
                           .retry_last = absl::Seconds(8)},
            clock_, SystemEntropy()};
  }

  FakeClock clock_{absl::FromUnixSeconds(1'790'000'000)};
};

TEST_F(PendingRequestsTest, AreTriedAFewAtOnceAndForgottenWithTheList) {
  PendingRequests pending = Make(2);
  pending.BeginList();
  for (const char* uid : {"a", "b", "c"}) pending.Keep(Named(uid), false);
  pending.EndList();
  EXPECT_THAT(pending.TakeDue(), ElementsAre("a", "b"));
  EXPECT_EQ(pending.UntilDue(), absl::InfiniteDuration()) << "no more at once";
  pending.Finish("a");
  EXPECT_THAT(pending.TakeDue(), ElementsAre("c"));
  EXPECT_EQ(pending.Summarize().pending, 2u) << "what is answered is not pending";
  pending.Keep(Named("a", "2"), false);
  EXPECT_THAT(pending.TakeDue(), IsEmpty()) << "an event from before the answer begins nothing";
  pending.BeginList();
  pending.Keep(Named("b"), false);
  pending.EndList();
  EXPECT_FALSE(pending.Find("c").has_value());
  EXPECT_TRUE(pending.Find("b").has_value());
}

TEST_F(PendingRequestsTest, AreBoundedAndSayWhenThereIsRoomAgain) {
  PendingRequests pending = Make();
  pending.BeginList();
  for (int i = 0; i < 9; ++i) pending.Keep(Named(absl::StrCat(i)), false);
  pending.EndList();
  EXPECT_EQ(pending.Summarize().pending, 4u);
  EXPECT_FALSE(pending.TakeOverflow());
  for (const std::string& uid : pending.TakeDue()) pending.Drop(uid);
  EXPECT_TRUE(pending.TakeOverflow());
  EXPECT_FALSE(pending.TakeOverflow()) << "once";
}

TEST_F(PendingRequestsTest, NobodyWaitsBehindAllOfSomebodyElse) {
  PendingRequests pending = Make(1, 8);
  for (int i = 0; i < 5; ++i) pending.Keep(Named(absl::StrCat("flood-", i), "1", "flood"), false);
  pending.Keep(Named("honest", "1", "honest"), false);
  std::string taken;
  for (int i = 0; i < 2; ++i) {
    const std::vector<std::string> due = pending.TakeDue();
    ASSERT_THAT(due, SizeIs(1));
    absl::StrAppend(&taken, due[0], " ");
    pending.Finish(due[0]);
  }
  EXPECT_EQ(taken, "flood-0 honest ");
}

TEST_F(PendingRequestsTest, WhoHasMostGivesWayWhereThereIsNoRoom) {
  PendingRequests pending = Make();
  // They are tried again and again, and never come to an end.
  for (int i = 0; i < 6; ++i) pending.Keep(Named(absl::StrCat("flood-", i), "1", "flood"), false);
  for (const std::string& uid : pending.TakeDue()) pending.TryLater(uid, absl::UnavailableError("no"), false);
  for (const char* uid : {"honest-0", "honest-1", "honest-2"}) pending.Keep(Named(uid, "1", "honest"), false);
  EXPECT_TRUE(pending.Find("honest-0").has_value());
  EXPECT_TRUE(pending.Find("honest-1").has_value());
  EXPECT_FALSE(pending.Find("honest-2").has_value()) << "nobody has more than its fair share";
  EXPECT_EQ(pending.Summarize().pending, 4u);
  EXPECT_THAT(pending.TakeDue(), ElementsAre("honest-0", "honest-1"));
  for (const char* uid : {"honest-0", "honest-1"}) pending.Drop(uid);
  pending.Forget("flood-0");
  pending.Forget("flood-1");
  pending.Forget("flood-2");
  pending.Forget("flood-3");
  EXPECT_TRUE(pending.TakeOverflow()) << "what gave way is listed again";
}

TEST_F(PendingRequestsTest, AnAccountIsNotKeptOutByAnotherOneOfItsNamespace) {
  PendingRequests pending = Make(1);
  for (int i = 0; i < 6; ++i) pending.Keep(Named(absl::StrCat("flood-", i), "1", "namespace web", "flood"), false);
  for (int i = 0; i < 3; ++i) pending.Keep(Named(absl::StrCat("honest-", i), "1", "namespace web", "honest"), false);
  EXPECT_TRUE(pending.Find("honest-1").has_value());
  EXPECT_FALSE(pending.Find("honest-2").has_value()) << "nobody has more than its fair share";
  EXPECT_TRUE(pending.Find("flood-1").has_value());
  EXPECT_EQ(pending.Summarize().pending, 4u);
  std::vector<std::string> taken;
  for (int i = 0; i < 2; ++i) {
    for (const std::string& uid : pending.TakeDue()) {
      taken.push_back(uid);
      pending.Drop(uid);
    }
  }
  EXPECT_THAT(taken, testing::UnorderedElementsAre("flood-0", "honest-0"));
}

TEST_F(PendingRequestsTest, WhatHasItsCertificateAlreadyGivesWayLast) {
  PendingRequests pending = Make();
  for (int i = 0; i < 4; ++i) pending.Keep(Named(absl::StrCat("flood-", i), "1", "flood"), false);
  ASSERT_THAT(pending.TakeDue(), SizeIs(4));
  pending.KeepIssued("flood-3", std::make_shared<const IssuedCertificate>());
  // All are due at once, by their names.
  for (int i = 0; i < 4; ++i) pending.TrySoon(absl::StrCat("flood-", i));
  pending.Keep(Named("honest-0", "1", "honest"), false);
  EXPECT_TRUE(pending.Find("flood-3").has_value());
  EXPECT_FALSE(pending.Find("flood-2").has_value());
}

TEST_F(PendingRequestsTest, WhatIsTriedSoonHasNotFailed) {
  PendingRequests pending = Make();
  pending.Keep(Named("a"), false);
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(pending.TakeDue(), SizeIs(1)) << i;
    pending.TrySoon("a");
    EXPECT_THAT(pending.TakeDue(), IsEmpty());
    clock_.Advance(PendingOptions().soon);
  }
  EXPECT_EQ(pending.Summarize().waits, "");
}

TEST_F(PendingRequestsTest, WhatIsTriedSoonIsDueWhenItIsToBeJudgedAgain) {
  PendingRequests pending = Make();
  for (const char* uid : {"soon", "later"}) pending.Keep(Named(uid), false);
  ASSERT_THAT(pending.TakeDue(), SizeIs(2));
  pending.TrySoon("soon");
  pending.TryLater("later", absl::UnavailableError(""), false);
  ASSERT_THAT(pending.TakeDue(), IsEmpty());
  pending.JudgeAgain();
  ASSERT_THAT(pending.TakeDue(), ElementsAre("soon"));
  // What it waits for came between its being judged and the end of the attempt.
  pending.JudgeAgain();
  pending.TrySoon("soon");
  ASSERT_THAT(pending.TakeDue(), ElementsAre("soon"));
  pending.TrySoon("soon");
  EXPECT_THAT(pending.TakeDue(), IsEmpty()) << "one for each";
}

TEST_F(PendingRequestsTest, AreTriedLaterAndLaterAndSpokenOfOnce) {
  PendingRequests pending = Make();
  pending.Keep(Named("a"), false);
  int spoken_of = 0;
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(pending.TakeDue(), SizeIs(1)) << i;
    if (pending.TryLater("a", absl::UnavailableError("away"), i == 3)) ++spoken_of;
    const absl::Duration longest = std::min(absl::Seconds(8), absl::Seconds(1 << i));
    EXPECT_GE(pending.UntilDue(), longest / 2);
    EXPECT_LE(pending.UntilDue(), longest);
    EXPECT_THAT(pending.TakeDue(), IsEmpty());
    clock_.Advance(longest);
  }
  EXPECT_EQ(spoken_of, 1);
  EXPECT_EQ(pending.Summarize().waits, "request a: away");
  EXPECT_TRUE(pending.Find("a")->read_first);
  ASSERT_THAT(pending.TakeDue(), SizeIs(1));
  pending.TryAnew("a", Named("a", "2"), "");
  EXPECT_EQ(pending.Find("a")->request->resource_version, "2");
  EXPECT_FALSE(pending.Find("a")->read_first);
  EXPECT_THAT(pending.TakeDue(), SizeIs(1)) << "at once";
}

TEST_F(PendingRequestsTest, WhatGotNoAnswerIsDueWhenTheServerIsBackAndARefusalIsNot) {
  PendingRequests pending = Make();
  for (const char* uid : {"absent", "refused"}) pending.Keep(Named(uid), false);
  int spoken_of = 0;
  for (int i = 0; i < 9; ++i) {
    for (const std::string& uid : pending.TakeDue()) {
      const bool absent = uid == "absent";
      spoken_of += pending.TryLater(uid, absent ? absl::UnavailableError("") : absl::PermissionDeniedError(""), false);
    }
    clock_.Advance(absl::Seconds(8));
  }
  clock_.Advance(-absl::Seconds(5));
  ASSERT_THAT(pending.TakeDue(), IsEmpty());
  pending.ServerReturned();
  ASSERT_THAT(pending.TakeDue(), ElementsAre("absent"));
  // It is away again, and was at the first return since this attempt began.
  pending.ServerReturned();
  spoken_of += pending.TryLater("absent", absl::UnavailableError(""), false);
  ASSERT_THAT(pending.TakeDue(), ElementsAre("absent"));
  spoken_of += pending.TryLater("absent", absl::UnavailableError(""), false);
  EXPECT_THAT(pending.TakeDue(), IsEmpty());
  EXPECT_EQ(spoken_of, 2) << "once each";
}

TEST_F(PendingRequestsTest, WhatAnotherVersionShowedIsNotReplacedByWhatShowsLess) {
  PendingRequests pending = Make();
  pending.Keep(Named("a"), true);
  pending.TakeDue();
  pending.TryAnew("a", Named("a", "2"), "v1beta1");
  pending.Keep(Named("a", "3"), true);
  EXPECT_EQ(pending.Find("a")->request->resource_version, "2");
  pending.Keep(Named("a", "4"), false);
  EXPECT_EQ(pending.Find("a")->request->resource_version, "4");
}

// The watch tells of it again while the other version is being asked.
TEST_F(PendingRequestsTest, NorByWhatCameWhileTheOtherVersionWasAsked) {
  PendingRequests pending = Make(32, 8);
  const auto soon = [&](const std::string& uid) { pending.TrySoon(uid); };
  const auto later = [&](const std::string& uid) { pending.TryLater(uid, absl::UnavailableError("away"), false); };
  const auto await = [&](const std::string& uid) { EXPECT_FALSE(pending.Await(uid, "a policy")) << "it may be new"; };
  for (const auto& [uid, end] : std::vector<std::pair<std::string, std::function<void(const std::string&)>>>{
           {"soon", soon}, {"later", later}, {"await", await}}) {
    pending.Keep(Named(uid), true);
    ASSERT_THAT(pending.TakeDue(), ElementsAre(uid));
    pending.Keep(Named(uid, "2"), true);
    pending.TryAnew(uid, Named(uid, "3"), "v1beta1");
    ASSERT_THAT(pending.TakeDue(), ElementsAre(uid));
    end(uid);
    EXPECT_EQ(pending.Find(uid)->request->resource_version, "3") << uid;
    EXPECT_EQ(pending.Find(uid)->shown_by, "v1beta1") << uid;
    EXPECT_EQ(pending.Find(uid)->read_first, uid == "await") << uid;
    pending.Forget(uid);
  }
}

TEST_F(PendingRequestsTest, WhatShowsAllAndCameDuringAnAttemptTakesItsPlace) {
  PendingRequests pending = Make();
  pending.Keep(Named("a"), false);
  ASSERT_THAT(pending.TakeDue(), SizeIs(1));
  pending.Keep(Named("a", "2"), false);
  pending.TrySoon("a");
  EXPECT_EQ(pending.Find("a")->request->resource_version, "2");
}

TEST_F(PendingRequestsTest, AnAttemptAtWhatWasForgottenAndToldOfAnewEndsNothingElse) {
  PendingRequests pending = Make();
  const auto begin = [&] {
    pending.Keep(Named("a"), false);
    EXPECT_THAT(pending.TakeDue(), ElementsAre("a"));
    pending.Forget("a");
    pending.Keep(Named("a", "2"), false);
  };
  begin();
  pending.TrySoon("a");
  EXPECT_THAT(pending.TakeDue(), ElementsAre("a")) << "it is due once, and at once";
  pending.Finish("a");
  pending.Forget("a");
  begin();
  pending.Finish("a");
  EXPECT_THAT(pending.TakeDue(), IsEmpty());
  pending.Forget("a");
  begin();
  pending.Drop("a");
  EXPECT_THAT(pending.TakeDue(), IsEmpty());
}

TEST_F(PendingRequestsTest, WhatWaitsForSomebodyElseTakesNoRoom) {
  PendingRequests pending = Make();
  for (int i = 0; i < 9; ++i) {
    pending.Keep(Named(absl::StrCat(i)), false);
    ASSERT_THAT(pending.TakeDue(), SizeIs(1));
    EXPECT_TRUE(pending.Await(absl::StrCat(i), "an approval"));
  }
  EXPECT_EQ(pending.Summarize().awaiting, 9u);
  EXPECT_THAT(pending.Summarize().awaits, HasSubstr(": an approval"));
  EXPECT_EQ(pending.Summarize().pending, 0u);
  // Judged again when the watch tells of it, and not new then.
  pending.Keep(Named("3", "2"), false);
  ASSERT_THAT(pending.TakeDue(), ElementsAre("3"));
  EXPECT_FALSE(pending.Await("3", "an approval"));
  pending.Forget("3");
  EXPECT_EQ(pending.Summarize().awaiting, 8u);
}

TEST_F(PendingRequestsTest, WhatSomebodyChangesDuringAnAttemptIsNotLost) {
  PendingRequests pending = Make();
  pending.Keep(Named("a"), false);
  pending.Keep(Named("b"), false);
  ASSERT_THAT(pending.TakeDue(), SizeIs(2));
  for (const char* uid : {"a", "b"}) pending.Keep(Named(uid, "2"), false);
  EXPECT_EQ(pending.Find("a")->request->resource_version, "1") << "an attempt sees one thing";
  EXPECT_FALSE(pending.Await("a", "an approval")) << "it may be there by now";
  EXPECT_THAT(pending.TakeDue(), ElementsAre("a"));
  EXPECT_EQ(pending.Find("a")->request->resource_version, "2");
  EXPECT_TRUE(pending.Await("a", "an approval")) << "it was not";
  pending.TryLater("b", absl::UnavailableError("away"), false);
  EXPECT_EQ(pending.Find("b")->request->resource_version, "2");
}

}  // namespace
}  // namespace meshca
