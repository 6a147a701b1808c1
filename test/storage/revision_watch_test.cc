#include "storage/revision_watch.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <thread>

#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;

constexpr absl::Duration kLong = absl::Minutes(2);  // a wait that nobody ends fails its test after this

MATCHER_P(HoldsRevision, revision, "") { return arg.ok() && *arg == revision; }

// One waiter on a thread of its own, above revision 4, over a store that is at `stored`.
class Waiter {
 public:
  Waiter(RevisionWatch& watch, std::atomic<uint64_t>& stored, absl::Duration wait_max = kLong)
      : answer_(std::async(std::launch::async, [this, &watch, &stored, wait_max] {
          return watch.WaitAbove(4, wait_max, [this, &stored]() -> absl::StatusOr<uint64_t> {
            const uint64_t revision = stored;
            if (looks_++ == 0) looked_.set_value();
            return revision;
          });
        })) {}

  // The waiter has seen the store and goes on to wait.
  void WaitForFirstLook() { looked_.get_future().wait(); }
  absl::StatusOr<uint64_t> Answer() { return answer_.get(); }
  int looks() const { return looks_; }

 private:
  std::promise<void> looked_;
  std::atomic<int> looks_ = 0;
  std::future<absl::StatusOr<uint64_t>> answer_;  // last: its thread uses the others
};

TEST(RevisionWatch, ACommitOfThisProcessWakesEveryWaiterWithoutAnotherLookAtTheStore) {
  RevisionWatch watch(absl::InfiniteDuration());
  std::atomic<uint64_t> stored = 4;
  Waiter first(watch, stored), second(watch, stored);
  first.WaitForFirstLook();
  second.WaitForFirstLook();
  watch.Announce(5);
  EXPECT_THAT(first.Answer(), HoldsRevision(5u));
  EXPECT_THAT(second.Answer(), HoldsRevision(5u));
  EXPECT_EQ(first.looks(), 1);
}

TEST(RevisionWatch, ACommitOfAnotherProcessIsSeenByLookingAgain) {
  RevisionWatch watch(absl::Milliseconds(1));
  std::atomic<uint64_t> stored = 4;
  Waiter waiter(watch, stored);
  waiter.WaitForFirstLook();
  stored = 6;  // nobody announces it
  EXPECT_THAT(waiter.Answer(), HoldsRevision(6u));
  EXPECT_GE(waiter.looks(), 2);
}

TEST(RevisionWatch, ARevisionThatIsNotNewWakesNobody) {
  RevisionWatch watch(absl::InfiniteDuration());
  std::atomic<uint64_t> stored = 4;
  Waiter waiter(watch, stored, absl::Milliseconds(50));
  waiter.WaitForFirstLook();
  watch.Announce(4);
  EXPECT_THAT(waiter.Answer(), StatusIs(StatusCode::kDeadlineExceeded, testing::HasSubstr("no revision above 4")));
}

TEST(RevisionWatch, StopEndsWaitsThatRunAndThoseThatComeLater) {
  RevisionWatch watch(absl::InfiniteDuration());
  std::atomic<uint64_t> stored = 4;
  Waiter waiter(watch, stored);
  waiter.WaitForFirstLook();
  watch.Stop();
  EXPECT_THAT(waiter.Answer(), StatusIs(StatusCode::kCancelled));
  Waiter late(watch, stored);
  EXPECT_THAT(late.Answer(), StatusIs(StatusCode::kCancelled));
}

TEST(RevisionWatch, AStoreThatCannotBeReadAnswersTheWait) {
  RevisionWatch watch(absl::InfiniteDuration());
  EXPECT_THAT(watch.WaitAbove(4, kLong, [] { return absl::UnavailableError("disk"); }),
              StatusIs(StatusCode::kUnavailable));
}

TEST(SqliteRevision, CommittedByAnotherProcessIsSeenWithinTheBoundedPoll) {
  SqliteHarness harness;
  Store& store = harness.store();
  const uint64_t revision = Activate(store);
  auto waiter = std::async(std::launch::async, [&] { return store.WaitForRevisionAbove(revision, kLong); });
  Exec(harness.path(), "UPDATE meta SET revision = revision + 1");
  EXPECT_THAT(waiter.get(), HoldsRevision(revision + 1));
}

}  // namespace
}  // namespace meshca::storage
