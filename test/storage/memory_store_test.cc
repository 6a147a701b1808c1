#include "test/fakes/memory_store.h"

#include <gmock/gmock.h>

#include <utility>
#include <vector>

#include "test/fakes/status_matchers.h"
#include "test/storage/renewal_conformance.h"

namespace meshca::storage {
namespace {

class MemoryHarness final : public StoreHarness {
 public:
  Store& store() override { return store_; }

 private:
  MemoryStore store_;
};

INSTANTIATE_TEST_SUITE_P(Memory, StoreConformance,
                         testing::Values(StoreKind{"Memory", [] { return std::make_unique<MemoryHarness>(); }}),
                         StoreKindName);
INSTANTIATE_TEST_SUITE_P(Memory, RenewalConformance,
                         testing::Values(StoreKind{"Memory", [] { return std::make_unique<MemoryHarness>(); }}),
                         StoreKindName);
INSTANTIATE_TEST_SUITE_P(Memory, NodeConformance,
                         testing::Values(StoreKind{"Memory", [] { return std::make_unique<MemoryHarness>(); }}),
                         StoreKindName);
INSTANTIATE_TEST_SUITE_P(Memory, RevocationConformance,
                         testing::Values(StoreKind{"Memory", [] { return std::make_unique<MemoryHarness>(); }}),
                         StoreKindName);

TEST(MemoryStore, ActsOutFaults) {
  MemoryStore store;
  Activate(store);
  RecordMaker maker;
  store.FailWrites(absl::UnavailableError("disk full"));
  EXPECT_THAT(AppendAndWait(store, maker.Make()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(store.Probe(), StatusIs(absl::StatusCode::kUnavailable));
  store.FailWrites(absl::OkStatus());
  store.AbortAppends(1);
  EXPECT_THAT(AppendAndWait(store, maker.Make()), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(AppendAndWait(store, maker.Make()), IsOk());

  store.HoldAppends(1);
  std::vector<absl::Status> answers;
  for (int i = 0; i < 2; ++i) {
    store.Append(maker.Make(), [&](absl::Status status) { answers.push_back(std::move(status)); });
  }
  EXPECT_THAT(answers, testing::ElementsAre(StatusIs(absl::StatusCode::kResourceExhausted)));
  store.ReleaseAppends();
  EXPECT_THAT(answers, testing::ElementsAre(StatusIs(absl::StatusCode::kResourceExhausted), IsOk()));
}

}  // namespace
}  // namespace meshca::storage
