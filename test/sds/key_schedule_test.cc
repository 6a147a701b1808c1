// When which key is made, without a ring around it.
#include "sds/key_schedule.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;

const absl::Duration kStart = absl::Hours(5);  // since boot
const absl::Time kWall = absl::FromUnixSeconds(1767323045);

// A key whose certificate ends `lifetime` after kStart and is renewed at half of it; zero: it has none yet.
HeldKeyPtr Key(const std::string& name, absl::Duration lifetime = absl::ZeroDuration()) {
  const SpiffeId id = *SpiffeId::Parse("spiffe://td.test/web");
  auto key = std::make_shared<HeldKey>(name, id, /*is_shared=*/true);
  if (lifetime == absl::ZeroDuration()) return key;
  key->current = SecretContent::OfIdentity({id, "0a", "old", kWall + lifetime, 1}, SecretBytes::CopyOf("key"), "chain");
  key->renew_due = kStart + lifetime / 2;
  return key;
}

// All that wait, in turn.
std::vector<std::string> Turns(KeySchedule& schedule) {
  std::vector<std::string> turns;
  while (const HeldKeyPtr key = schedule.TakeWaiting()) turns.push_back(key->name);
  return turns;
}

TEST(KeySchedule, WhatEndsFirstIsInFrontThenTheOthersAsTheyCame) {
  KeySchedule schedule;
  const HeldKeyPtr first = Key("first"), reissue = Key("reissue", absl::Hours(1)), next = Key("next");
  schedule.Wait(first, true);
  schedule.Wait(reissue, false);
  schedule.Wait(next, true);
  schedule.Wait(Key("late", absl::Hours(9)), true);
  schedule.Wait(Key("soon", absl::Hours(2)), true);
  const HeldKeyPtr gone = Key("gone", absl::Hours(3));
  schedule.Wait(gone, true);
  schedule.StopWaiting(*gone);
  EXPECT_EQ(gone->state, HeldKey::kIdle);
  EXPECT_EQ(schedule.waiting(), 5);
  EXPECT_THAT(Turns(schedule), ElementsAre("soon", "late", "first", "reissue", "next"));
  EXPECT_EQ(first->state, HeldKey::kWorking);
}

TEST(KeySchedule, ATimerIsOnePlaceAndMoves) {
  KeySchedule schedule;
  const HeldKeyPtr key = Key("a", absl::Hours(2));
  EXPECT_EQ(schedule.next(), absl::InfiniteDuration());
  schedule.SetTimer(key, kStart + absl::Minutes(5));
  schedule.SetTimer(key, kStart + absl::Minutes(1));
  EXPECT_EQ(schedule.next(), kStart + absl::Minutes(1));
  schedule.TakeTimers(kStart + absl::Seconds(59));
  EXPECT_EQ(schedule.waiting(), 0);
  schedule.TakeTimers(kStart + absl::Minutes(1));
  EXPECT_THAT(Turns(schedule), ElementsAre("a"));
  EXPECT_EQ(schedule.next(), absl::InfiniteDuration());
}

TEST(KeySchedule, LingeringEndsInTimeAndIsBounded) {
  KeySchedule schedule;
  const HeldKeyPtr one = Key("one"), two = Key("two");
  schedule.SetLingering(two, kStart + absl::Minutes(2));
  schedule.SetLingering(one, kStart + absl::Minutes(1));
  EXPECT_EQ(schedule.next(), kStart + absl::Minutes(1));
  EXPECT_EQ(schedule.EndOfLingering(kStart, 2), nullptr);
  EXPECT_EQ(schedule.EndOfLingering(kStart, 1), one);
  schedule.Remove(one);
  EXPECT_EQ(schedule.EndOfLingering(kStart, 1), nullptr);
  EXPECT_EQ(schedule.EndOfLingering(kStart + absl::Minutes(2), 1), two);
}

TEST(KeySchedule, PlacesAreKeptAndNoneIsLaterThanTheRenewal) {
  KeySchedule schedule;
  const HeldKeyPtr a = Key("a", absl::Hours(20)), b = Key("b", absl::Hours(10)), c = Key("c", absl::Minutes(1));
  c->renew_due = kStart + absl::Minutes(3);
  const absl::Duration apart = absl::Minutes(10);
  schedule.Reissue({a, b}, kStart, apart);  // b now, a in ten minutes
  for (int call = 1; call < 5; ++call) schedule.Reissue({a, b}, kStart + absl::Seconds(call), apart);
  schedule.Reissue({a, b, c}, kStart + absl::Minutes(1), apart);  // c would come in twenty
  schedule.TakeTimers(kStart);
  EXPECT_THAT(Turns(schedule), ElementsAre("b"));
  EXPECT_EQ(schedule.next(), kStart + absl::Minutes(3));
  schedule.TakeTimers(kStart + absl::Minutes(3));
  EXPECT_THAT(Turns(schedule), ElementsAre("c"));
  EXPECT_EQ(schedule.next(), kStart + absl::Minutes(10));
}

TEST(KeySchedule, APermitIsForSoManyAndNoMore) {
  KeySchedule schedule;
  const HeldKeyPtr a = Key("a", absl::Hours(3)), b = Key("b", absl::Hours(1)), c = Key("c", absl::Hours(2));
  schedule.Reissue({a, b, c}, kStart, absl::Milliseconds(1), /*most=*/2);
  schedule.TakeTimers(kStart + absl::Minutes(1));
  EXPECT_THAT(Turns(schedule), ElementsAre("b", "c")) << "those whose certificates end first";
  schedule.Reissue({a}, kStart + absl::Minutes(1), absl::Milliseconds(1), /*most=*/2);
  schedule.TakeTimers(kStart + absl::Minutes(2));
  EXPECT_THAT(Turns(schedule), ElementsAre("a"));
}

TEST(KeySchedule, AFailedAttemptKeepsItsTimer) {
  KeySchedule schedule;
  const HeldKeyPtr key = Key("a", absl::Hours(20));
  key->failures = 1;
  schedule.SetTimer(key, kStart + absl::Seconds(30));
  schedule.Reissue({key}, kStart, absl::Seconds(1));
  EXPECT_TRUE(key->reissue);
  EXPECT_EQ(schedule.next(), kStart + absl::Seconds(30));
}

}  // namespace
}  // namespace meshca::sds
