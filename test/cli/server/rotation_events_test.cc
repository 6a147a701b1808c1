#include "cli/server/rotation_events.h"

#include <gmock/gmock.h>

namespace meshca::cli {
namespace {

using ::testing::HasSubstr;

const kubernetes::ObjectReference kLease = {"coordination.k8s.io/v1", "Lease", "kube-system", "meshca-a.test", "uid"};

AuthoritySnapshot SnapshotAt(uint64_t number, RotationStep step) {
  AuthoritySnapshot snapshot;
  snapshot.rotation.emplace();
  snapshot.rotation->number = number;
  snapshot.rotation->step = step;
  return snapshot;
}

TEST(RotationEventsTest, TellsEachStepOnceAndNothingOfBefore) {
  RotationEvents events;
  EXPECT_EQ(events.EventOf(AuthoritySnapshot(), kLease), std::nullopt);
  EXPECT_EQ(events.EventOf(AuthoritySnapshot(), kLease), std::nullopt);
  for (const RotationStep step : {RotationStep::kPrepare, RotationStep::kDistribute, RotationStep::kReissue,
                                  RotationStep::kDrain, RotationStep::kRetire, RotationStep::kDone}) {
    const std::optional<kubernetes::ObjectEvent> event = events.EventOf(SnapshotAt(1, step), kLease);
    ASSERT_TRUE(event.has_value()) << RotationStepName(step);
    EXPECT_EQ(event->regarding, kLease);
    EXPECT_FALSE(event->is_warning);
    EXPECT_THAT(event->note, HasSubstr(std::string(RotationStepName(step))));
    EXPECT_EQ(events.EventOf(SnapshotAt(1, step), kLease), std::nullopt);
  }
  // A server that starts in the middle of one tells of what comes.
  RotationEvents later;
  EXPECT_EQ(later.EventOf(SnapshotAt(2, RotationStep::kDrain), kLease), std::nullopt);
  EXPECT_TRUE(later.EventOf(SnapshotAt(2, RotationStep::kRetire), kLease).has_value());
  EXPECT_TRUE(later.EventOf(SnapshotAt(3, RotationStep::kRetire), kLease).has_value()) << "another rotation";
}

TEST(RotationEventsTest, AnEmergencyAndAForcedStepAreWarnings) {
  RotationEvents events;
  events.EventOf(AuthoritySnapshot(), kLease);
  AuthoritySnapshot emergency = SnapshotAt(1, RotationStep::kDistribute);
  emergency.rotation->emergency = true;
  const std::optional<kubernetes::ObjectEvent> event = events.EventOf(emergency, kLease);
  ASSERT_TRUE(event.has_value());
  EXPECT_TRUE(event->is_warning);
  EXPECT_THAT(event->note, HasSubstr("an emergency"));
  AuthoritySnapshot forced = SnapshotAt(1, RotationStep::kReissue);
  forced.rotation->forced = "by root: cut off nobody";
  EXPECT_TRUE(events.EventOf(forced, kLease)->is_warning);
}

}  // namespace
}  // namespace meshca::cli
