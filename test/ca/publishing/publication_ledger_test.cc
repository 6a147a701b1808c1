#include "ca/publishing/publication_ledger.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "ca/kubernetes/api_refusal.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kNow = absl::Hours(5);
const absl::Status kRefused = absl::PermissionDeniedError("");
const absl::Status kNoAnswer = absl::UnavailableError("");

// A ledger whose two lists have come to their end: places a and b, no object there.
class PublicationLedgerTest : public testing::Test {
 protected:
  PublicationLedgerTest() {
    ledger.BeginPlaces();
    ledger.AddPlace("a", kNow);
    ledger.AddPlace("b", kNow);
    ledger.EndPlaces();
    ledger.BeginSeen();
    ledger.EndSeen(kNow);
    ledger.SetContent(1, "one", kNow);
  }
  void WriteAll(absl::Duration now) {
    for (const std::string& place : ledger.TakeDue(now, 100)) {
      ledger.Written(place, now);
      ledger.Seen(place, ledger.content(), now);
    }
  }
  Publication Of(const std::string& place, absl::Duration now) const {
    for (Publication& one : ledger.List(now)) {
      if (one.place == place) return one;
    }
    ADD_FAILURE() << place << " is no place";
    return {};
  }

  PublicationOptions options;
  PublicationLedger ledger{options};
};

TEST(PublicationLedgerStart, NothingIsDueBeforeBothListsAreRead) {
  PublicationLedger ledger{PublicationOptions()};
  ledger.SetContent(1, "one", kNow);
  ledger.BeginPlaces();
  ledger.AddPlace("a", kNow);
  ledger.EndPlaces();
  EXPECT_THAT(ledger.TakeDue(kNow, 10), IsEmpty()) << "it may be there already";
  EXPECT_EQ(ledger.NextDue(), absl::InfiniteDuration());
  ledger.BeginSeen();
  ledger.Seen("a", "one", kNow);
  ledger.EndSeen(kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), IsEmpty()) << "and it was";
  EXPECT_EQ(ledger.behind(), 0u);
}

TEST(PublicationLedgerStart, NothingIsDueWithoutAContent) {
  PublicationLedger ledger{PublicationOptions()};
  ledger.BeginSeen();
  ledger.EndSeen(kNow);
  ledger.BeginPlaces();
  ledger.AddPlace("a", kNow);
  ledger.EndPlaces();
  EXPECT_THAT(ledger.TakeDue(kNow, 10), IsEmpty());
  EXPECT_EQ(ledger.behind(), 1u);
  ledger.SetContent(1, "one", kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("a"));
}

TEST_F(PublicationLedgerTest, EveryPlaceIsWrittenOnceAndNoMoreThanAskedFor) {
  EXPECT_THAT(ledger.TakeDue(kNow, 1), ElementsAre("a"));
  EXPECT_THAT(ledger.TakeDue(kNow, 5), ElementsAre("b"));
  EXPECT_THAT(ledger.TakeDue(kNow, 5), IsEmpty());
  ledger.Written("a", kNow);
  ledger.Seen("a", "one", kNow);
  EXPECT_EQ(ledger.behind(), 1u);
  EXPECT_EQ(ledger.NextDue(), absl::InfiniteDuration());
}

TEST_F(PublicationLedgerTest, ItIsHeldOnceEveryReaderHasHadTimeToReadIt) {
  WriteAll(kNow);
  EXPECT_EQ(Of("a", kNow).written, 1u);
  EXPECT_EQ(Of("a", kNow).held, 0u);
  EXPECT_EQ(Of("a", kNow).held_at, kNow + options.mount_delay);
  EXPECT_EQ(Of("a", kNow + options.mount_delay).held, 1u);
  const absl::Duration later = kNow + absl::Hours(1);
  ledger.SetContent(2, "two", later);
  WriteAll(later);
  EXPECT_EQ(Of("a", later).held, 1u) << "they still have the one before";
  EXPECT_EQ(Of("a", later + options.mount_delay).held, 2u);
}

TEST_F(PublicationLedgerTest, AVersionWithTheSameContentIsHeldWhereThatIs) {
  WriteAll(kNow);
  const absl::Duration later = kNow + absl::Hours(1);
  ledger.SetContent(7, "one", later);
  EXPECT_THAT(ledger.TakeDue(later, 10), IsEmpty());
  EXPECT_EQ(Of("a", later).held, 7u);
}

TEST_F(PublicationLedgerTest, WhatSomebodyEditsOrDeletesIsRepairedAtOnceAndBelievedNoMore) {
  WriteAll(kNow);
  const absl::Duration later = kNow + absl::Hours(1);
  ledger.Seen("a", "mine", later);
  ledger.SeenGone("b", later);
  EXPECT_EQ(Of("a", later).held, 0u) << "whoever reads it may have read that";
  EXPECT_THAT(ledger.TakeDue(later, 10), UnorderedElementsAre("a", "b"));
  ledger.Written("a", later);
  ledger.Seen("a", "one", later);
  EXPECT_EQ(Of("a", later + absl::Minutes(1)).held, 0u);
  EXPECT_EQ(Of("a", later + options.mount_delay).held, 1u);
  EXPECT_EQ(Of("a", later).fault, "");
  EXPECT_EQ(ledger.FirstFault(), std::nullopt);
}

TEST_F(PublicationLedgerTest, WhoEditsItAgainAndAgainIsNotFoughtWithAllMightAndIsNamed) {
  WriteAll(kNow);
  absl::Duration now = kNow + absl::Hours(1);
  int writes = 0;
  for (int round = 0; round < 600; ++round, now += absl::Milliseconds(500)) {
    ledger.Seen("a", "mine", now);
    for (const std::string& place : ledger.TakeDue(now, 10)) {
      ++writes;
      ledger.Written(place, now);
      ledger.Seen(place, "one", now);
    }
  }
  EXPECT_LT(writes, 25) << "in five minutes";
  EXPECT_GT(writes, 5);
  ledger.Seen("a", "mine", now);
  EXPECT_THAT(Of("a", now).fault, HasSubstr("managedFields"));
  // Who has stopped is forgiven.
  now += absl::Minutes(1);
  WriteAll(now);
  now += absl::Minutes(2);
  ledger.Seen("a", "mine", now);
  EXPECT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
}

TEST_F(PublicationLedgerTest, AWriteThatFailedIsTriedAgainLaterAndLater) {
  absl::Duration now = kNow;
  absl::Duration waited;
  for (int round = 0; round < 12; ++round) {
    ASSERT_EQ(ledger.TakeDue(now, 1).size(), 1u);
    ledger.Failed("a", "no right to patch", kRefused, 1, now);
    EXPECT_EQ(Of("a", now).fault, "no right to patch");
    EXPECT_EQ(ledger.FirstFault(), std::make_pair(std::string("a"), std::string("no right to patch")));
    for (const std::string& place : ledger.TakeDue(now, 10)) ledger.Written(place, now), ledger.Seen(place, "one", now);
    EXPECT_GE(ledger.NextDue() - now, waited);
    waited = ledger.NextDue() - now;
    now = ledger.NextDue();
  }
  EXPECT_EQ(waited, options.retry_last);
  ASSERT_EQ(ledger.TakeDue(now, 1).size(), 1u);
  http::Response head;
  head.status = 429;
  head.headers = {{"Retry-After", "120"}};
  ledger.Failed("a", "too many requests", kubernetes::RefusalStatus(kubernetes::ApiCall(), head, ""), 0, now);
  EXPECT_EQ(ledger.NextDue(), now + absl::Minutes(2)) << "a server's wish counts";
  // What is to stand there now is another thing.
  ledger.SetContent(2, "two", now);
  EXPECT_THAT(ledger.TakeDue(now, 10), UnorderedElementsAre("a", "b"));
}

TEST_F(PublicationLedgerTest, WhatGotNoAnswerIsDueWhenTheServerIsBackAndARefusalIsNot) {
  absl::Duration now = kNow;
  for (int round = 0; round < 12; ++round) {
    for (const std::string& place : ledger.TakeDue(now, 10)) {
      ledger.Failed(place, "no", place == "a" ? kNoAnswer : kRefused, 1, now);
    }
    now = ledger.NextDue();
  }
  now -= options.retry_last / 2;
  ASSERT_THAT(ledger.TakeDue(now, 10), IsEmpty());
  ledger.ServerReturned(now);
  ASSERT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
  // It is away again. The pause is shorter than it was, and grows from there.
  ledger.Failed("a", "no", kNoAnswer, 1, now);
  EXPECT_EQ(ledger.NextDue(), now + absl::Seconds(8));
  EXPECT_THAT(ledger.TakeDue(now + absl::Seconds(7), 10), IsEmpty());
}

TEST_F(PublicationLedgerTest, AWriteThatEndsAfterTheReturnBeforeWhichItBeganIsTriedAtOnce) {
  ASSERT_THAT(ledger.TakeDue(kNow, 10), UnorderedElementsAre("a", "b"));
  ledger.ServerReturned(kNow);
  ledger.Failed("a", "no", kNoAnswer, 1, kNow);
  ledger.Failed("b", "no", kRefused, 1, kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("a"));
  ledger.Failed("a", "no", kNoAnswer, 1, kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), IsEmpty()) << "once for a return";
  // What was written is not due by a return.
  ASSERT_THAT(ledger.TakeDue(kNow + absl::Seconds(5), 10), UnorderedElementsAre("a", "b"));
  ledger.Written("a", kNow + absl::Seconds(5));
  ledger.ServerReturned(kNow + absl::Seconds(5));
  EXPECT_THAT(ledger.TakeDue(kNow + absl::Seconds(5), 10), IsEmpty());
}

TEST_F(PublicationLedgerTest, AWriteUnderWayAtTheReturnFindsAShorterPauseToo) {
  absl::Duration now = kNow;
  for (int round = 0; round < 12; ++round) {
    for (const std::string& place : ledger.TakeDue(now, 10)) {
      ledger.Failed(place, "no", kNoAnswer, 1, now);
    }
    now = ledger.NextDue();
  }
  ASSERT_EQ(ledger.TakeDue(now, 10).size(), 2u);
  ledger.ServerReturned(now);
  ledger.Failed("a", "no", kNoAnswer, 1, now);
  ASSERT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
  ledger.Failed("a", "no", kNoAnswer, 1, now);
  EXPECT_EQ(ledger.NextDue(), now + absl::Seconds(8));
}

TEST_F(PublicationLedgerTest, WritesThatFailedBeforeAreNoContest) {
  absl::Duration now = kNow;
  for (int round = 0; round < 12; ++round) {
    for (const std::string& place : ledger.TakeDue(now, 10)) ledger.Failed(place, "no", kRefused, 1, now);
    now = ledger.NextDue();
  }
  WriteAll(now);
  EXPECT_FALSE(ledger.Seen("a", "mine", now)) << "the first edit";
  EXPECT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
}

TEST_F(PublicationLedgerTest, LabelsThatSomebodyTakesAwayAreDueAndNobodyIsBehindForThem) {
  WriteAll(kNow);
  const absl::Duration later = kNow + absl::Hours(1);
  EXPECT_FALSE(ledger.Seen("a", "one", later, false));
  EXPECT_EQ(ledger.behind(), 0u);
  EXPECT_FALSE(ledger.IsBehind("a"));
  EXPECT_EQ(Of("a", later).held, 1u) << "whoever reads it has the roots";
  ASSERT_THAT(ledger.TakeDue(later, 10), ElementsAre("a"));
  ledger.Written("a", later);
  ledger.Seen("a", "one", later);
  EXPECT_EQ(ledger.NextDue(), absl::InfiniteDuration());
  EXPECT_EQ(Of("a", later).held, 1u);
}

TEST_F(PublicationLedgerTest, LabelsThatCannotBeWrittenAreNoFaultOfThePublication) {
  WriteAll(kNow);
  ledger.Seen("a", "one", kNow + absl::Hours(1), false);
  absl::Duration now = ledger.NextDue();
  for (int round = 0; round < 20; ++round) {
    ASSERT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
    EXPECT_EQ(ledger.Failed("a", "no label of yours", kRefused, 1, now), round == 0) << "news, once";
    EXPECT_EQ(Of("a", now).fault, "");
    EXPECT_EQ(ledger.FirstFault(), std::nullopt);
    EXPECT_LE(ledger.NextDue() - now, options.marks_retry_last);
    now = ledger.NextDue();
  }
  EXPECT_GE(now - kNow, absl::Hours(2)) << "later and later";
  // What stands there is wrong now: that is another matter.
  ledger.TakeDue(now, 10);
  ledger.Failed("a", "no label of yours", kRefused, 1, now);
  ledger.Seen("a", "a stranger's", now);
  EXPECT_LE(ledger.NextDue(), now + options.retry_last);
}

TEST_F(PublicationLedgerTest, WhoInsistsOnOtherLabelsIsAnsweredLaterAndLaterWhicheverIsToldFirst) {
  absl::Duration now = kNow;
  for (const bool answer_first : {true, false}) {
    WriteAll(now);
    now += absl::Hours(1);
    const absl::Duration end = now + absl::Hours(2);
    int writes = 0;
    for (; now < end; ++writes) {
      ledger.Seen("a", ledger.content(), now, false);
      now = ledger.NextDue();
      ASSERT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
      if (answer_first) ledger.Written("a", now);
      ledger.Seen("a", ledger.content(), now);
      if (!answer_first) ledger.Written("a", now);
      now += absl::Seconds(1);
    }
    EXPECT_LE(writes, 24) << "every ten minutes in the end, answer first: " << answer_first;
    EXPECT_GE(writes, 12) << answer_first;
  }
}

TEST_F(PublicationLedgerTest, LabelsThatNeverShowAreWrittenLaterAndLater) {
  WriteAll(kNow);
  ledger.Seen("a", "one", kNow, false);
  absl::Duration now = kNow;
  int writes = 0;
  for (; now < kNow + absl::Hours(2); ++writes) {
    ASSERT_THAT(ledger.TakeDue(now, 10), ElementsAre("a"));
    ledger.Written("a", now);
    now = ledger.NextDue();
  }
  EXPECT_LE(writes, 20);
}

TEST(PublicationLedgerStart, WhatShowsTheRootsWithoutLabelsIsGivenThem) {
  PublicationLedger ledger{PublicationOptions()};
  ledger.SetContent(1, "one", kNow);
  ledger.BeginPlaces();
  ledger.AddPlace("a", kNow);
  ledger.EndPlaces();
  ledger.BeginSeen();
  ledger.Seen("a", "one", kNow, false);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), IsEmpty()) << "not before both lists are read";
  ledger.EndSeen(kNow);
  EXPECT_EQ(ledger.behind(), 0u);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("a"));
}

TEST_F(PublicationLedgerTest, WhatWasWrittenAndIsNeverSeenIsWrittenAgain) {
  ASSERT_EQ(ledger.TakeDue(kNow, 10).size(), 2u);
  ledger.Written("a", kNow);
  EXPECT_THAT(ledger.TakeDue(kNow + options.seen_within / 2, 10), IsEmpty());
  EXPECT_THAT(ledger.TakeDue(kNow + options.seen_within, 10), ElementsAre("a"));
}

TEST_F(PublicationLedgerTest, AContentThatComesBackStandsWhereNothingElseCameToStand) {
  WriteAll(kNow);
  const absl::Duration later = kNow + absl::Hours(1);
  ledger.SetContent(2, "one and two", later);
  for (const std::string& place : ledger.TakeDue(later, 10)) ledger.Failed(place, "away", kNoAnswer, 0, later);
  ledger.SetContent(3, "one", later);
  EXPECT_EQ(ledger.behind(), 0u) << "whoever writes it again changes nothing, and nobody tells of that";
  EXPECT_THAT(ledger.TakeDue(later + absl::Hours(1), 10), IsEmpty());
  EXPECT_EQ(Of("a", later).held, 3u);
  EXPECT_EQ(Of("a", later).fault, "");
}

TEST_F(PublicationLedgerTest, AtANewPlaceItIsHeldAtOnceForNothingElseWasReadThere) {
  WriteAll(kNow);
  ledger.AddPlace("new", kNow);
  ledger.AddPlace("taken", kNow);
  ledger.Seen("taken", "a stranger's", kNow);
  EXPECT_EQ(Of("new", kNow).held, 0u);
  WriteAll(kNow);
  EXPECT_EQ(Of("new", kNow).held, 1u);
  EXPECT_EQ(Of("taken", kNow).held, 0u) << "there somebody may have read another";
  ledger.Seen("new", "a stranger's", kNow);
  WriteAll(kNow);
  EXPECT_EQ(Of("new", kNow).held, 0u);
}

TEST_F(PublicationLedgerTest, WhatRanOutSinceItWasHeardOfDoesNotCount) {
  WriteAll(kNow);
  const absl::Duration heard = kNow + options.mount_delay - absl::Seconds(1);
  EXPECT_EQ(Of("a", heard).held, 0u);
}

TEST_F(PublicationLedgerTest, APlaceThatIsGoneIsNeitherWrittenNorWaitedFor) {
  ledger.RemovePlace("a");
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("b"));
  EXPECT_EQ(ledger.places(), 1u);
  // It ends while it is written: what comes of that is nobody's.
  ledger.RemovePlace("b");
  ledger.Failed("b", "the namespace is being deleted", kRefused, 0, kNow);
  EXPECT_EQ(ledger.places(), 0u);
  EXPECT_EQ(ledger.behind(), 0u);
  EXPECT_EQ(ledger.NextDue(), absl::InfiniteDuration());
  ledger.AddPlace("b", kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("b"));
}

TEST_F(PublicationLedgerTest, WhatChangesWhileItIsBeingWrittenIsWrittenAgainAtOnce) {
  ASSERT_EQ(ledger.TakeDue(kNow, 10).size(), 2u);
  ledger.SetContent(2, "two", kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), IsEmpty()) << "one write at a time";
  for (const char* place : {"a", "b"}) ledger.Written(place, kNow), ledger.Seen(place, "one", kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), UnorderedElementsAre("a", "b"));
}

TEST_F(PublicationLedgerTest, WhatANewListDoesNotHaveIsGone) {
  WriteAll(kNow);
  ledger.BeginSeen();
  ledger.Seen("a", "one", kNow);
  ledger.EndSeen(kNow);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("b"));
  ledger.BeginPlaces();
  ledger.AddPlace("a", kNow);
  ledger.AddPlace("c", kNow);
  ledger.EndPlaces();
  EXPECT_EQ(ledger.places(), 2u);
  EXPECT_THAT(ledger.TakeDue(kNow, 10), ElementsAre("c"));
}

TEST_F(PublicationLedgerTest, AnOlderContentThatIsRememberedCountsAsItsVersion) {
  WriteAll(kNow);
  const absl::Duration later = kNow + absl::Hours(1);
  ledger.SetContent(2, "two", later);
  EXPECT_EQ(Of("a", later).held, 1u);
  EXPECT_EQ(Of("a", later).written, 1u);
  for (TrustVersion version = 3; version < 20; ++version) ledger.SetContent(version, std::to_string(version), later);
  EXPECT_EQ(Of("a", later).held, 0u) << "too old to be remembered";
}

// Whoever fills an object makes the answer to its write longer than it is read, though the write went through.
TEST_F(PublicationLedgerTest, AWriteWhoseAnswerWasLostIsContestedLikeAnyOther) {
  absl::Duration now = kNow;
  ledger.RemovePlace("b");
  for (int edits = 0; edits < 8; ++edits) {
    now = std::max(now, ledger.NextDue());
    ASSERT_THAT(ledger.TakeDue(now, 1), ElementsAre("a"));
    ledger.Failed("a", "the answer is too long", kRefused, 1, now);
    ledger.Seen("a", "one", now);
    ASSERT_EQ(ledger.behind(), 0u);
    ledger.Seen("a", "a stranger's", now);
  }
  EXPECT_GE(now - kNow, absl::Seconds(60)) << "later and later";
  EXPECT_THAT(Of("a", now).fault, HasSubstr("somebody else has changed it"));
}

}  // namespace
}  // namespace meshca
