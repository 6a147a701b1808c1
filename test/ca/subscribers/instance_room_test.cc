// What one caller can have counted, however many names it gives itself.
#include "ca/subscribers/instance_room.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kBoot = absl::Hours(1);

InstanceRoom::Place Of(const std::string& principal, const std::string& id = "spiffe://td.test/web") {
  return {id, principal};
}

// Comes and is counted, if it may.
absl::Status Come(InstanceRoom& room, const InstanceRoom::Place& place, absl::Duration since_boot) {
  if (absl::Status refused = room.Admit(place, since_boot); !refused.ok()) return refused;
  InstanceRoom::Seat counted;
  room.Count(counted, place);
  return absl::OkStatus();
}

TEST(InstanceRoom, NewOnesComeInABurstOfAQuarterAndAsManyAMinuteAfterIt) {
  InstanceRoom room({.per_principal = 400, .per_id = 100'000});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Come(room, Of("uid 1"), kBoot).ok()) << i;
  const absl::Status refused = Come(room, Of("uid 1"), kBoot);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), "INSTANCES_TOO_FAST");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("after 100 at once it may make as many a minute"));
  EXPECT_TRUE(Come(room, Of("uid 2"), kBoot).ok()) << "another caller has a pace of its own";
  int came = 0;
  while (Come(room, Of("uid 1"), kBoot + absl::Seconds(30)).ok()) ++came;
  EXPECT_EQ(came, 50);
}

TEST(InstanceRoom, APrincipalHasSoMuchRoomUnderWhateverIds) {
  InstanceRoom room({.per_principal = 16, .per_id = 1000});
  absl::Duration now = kBoot;
  for (int i = 0; i < 16; ++i, now += absl::Minutes(1)) {
    ASSERT_TRUE(Come(room, Of("uid 1", absl::StrCat("spiffe://td.test/", i)), now).ok()) << i;
  }
  EXPECT_EQ(ReasonOf(Come(room, Of("uid 1", "spiffe://td.test/more"), now)), "TOO_MANY_INSTANCES");
}

TEST(InstanceRoom, AnIdHasSoMuchRoomUnderWhateverPrincipals) {
  InstanceRoom room({.per_principal = 16, .per_id = 3});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Come(room, Of(absl::StrCat("uid ", i)), kBoot).ok()) << i;
  EXPECT_EQ(ReasonOf(Come(room, Of("uid 9"), kBoot)), "TOO_MANY_INSTANCES");
  EXPECT_TRUE(Come(room, Of("uid 9", "spiffe://td.test/db"), kBoot).ok());
}

TEST(InstanceRoom, WhoIsCountedElsewhereLeavesTheFirstPlace) {
  InstanceRoom room({.per_principal = 16, .per_id = 1});
  InstanceRoom::Seat counted;
  room.Count(counted, Of("uid 1", "spiffe://td.test/a"));
  EXPECT_FALSE(room.Admit(Of("uid 2", "spiffe://td.test/a"), kBoot).ok());
  room.Count(counted, Of("uid 1", "spiffe://td.test/b"));
  EXPECT_TRUE(room.Admit(Of("uid 2", "spiffe://td.test/a"), kBoot).ok());
  room.Count(counted, std::nullopt);
  EXPECT_TRUE(room.Admit(Of("uid 2", "spiffe://td.test/b"), kBoot).ok());
}

TEST(InstanceRoom, APrincipalThatIsGoneIsForgottenWhenItsPaceIsRestored) {
  InstanceRoom room({.per_principal = 16, .per_id = 100});
  ASSERT_TRUE(room.Admit(Of("uid 1"), kBoot).ok());
  room.Tidy(kBoot);
  EXPECT_EQ(room.principals(), 1u) << "what it used up is remembered";
  room.Tidy(kBoot + absl::Minutes(1));
  EXPECT_EQ(room.principals(), 0u);
}

}  // namespace
}  // namespace meshca
