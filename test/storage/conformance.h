// The contract of storage::Store, as a test that every implementation passes.
#ifndef MESHCA_TEST_STORAGE_CONFORMANCE_H_
#define MESHCA_TEST_STORAGE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "storage/store.h"
#include "test/fakes/counting_entropy.h"

namespace meshca::storage {

// One store under test, empty at first.
class StoreHarness {
 public:
  virtual ~StoreHarness() = default;
  virtual Store& store() = 0;
  // Closes the store and opens it again. False where a store does not outlive its process.
  virtual bool Reopen() { return false; }
};

struct StoreKind {
  std::string name;
  std::function<std::unique_ptr<StoreHarness>()> make;
};

// INSTANTIATE_TEST_SUITE_P(Name, StoreConformance, testing::Values(StoreKind{...}), StoreKindName) in the
// implementation's own test.
class StoreConformance : public testing::TestWithParam<StoreKind> {
 protected:
  StoreConformance() : harness_(GetParam().make()) {}
  Store& store() { return harness_->store(); }

  std::unique_ptr<StoreHarness> harness_;
};

inline std::string StoreKindName(const testing::TestParamInfo<StoreKind>& info) { return info.param.name; }

// ---- what tests of stores are made of ----

inline const absl::Time kTestNow = absl::FromUnixSeconds(1767323040);  // 2026-01-02 03:04:00 UTC
inline constexpr char kIssuingA[] = "aa00000000000000000000000000000000000000000000000000000000000000";
inline constexpr char kIssuingB[] = "bb00000000000000000000000000000000000000000000000000000000000000";

// Makes records that differ in serial number, key and certificate hash.
class RecordMaker {
 public:
  explicit RecordMaker(uint64_t first = 1) : entropy_(first) {}
  IssuanceRecord Make(absl::string_view spiffe_id = "spiffe://cluster.local/ns/default/sa/web",
                      absl::string_view authority_id = kIssuingA, absl::Duration lifetime = absl::Hours(24));

 private:
  CountingEntropy entropy_;
};

AuditEntry TestAudit(absl::string_view action = "test.deed");
StoredAuthority TestAuthority(absl::string_view id, AuthorityState state = AuthorityState::kActive);
// Every field differs from its default, and from its neighbours of the same type.
StoredJwtAuthority TestJwtAuthority(absl::string_view key_id, AuthorityState state = AuthorityState::kOld);
StoredBundle TestBundle(uint64_t sequence_number);
JoinToken TestToken(absl::string_view id);
RegistrationEntry TestEntry(absl::string_view id, absl::string_view selector = "unix:uid:1000");
SubscriberRecord TestSubscriber(absl::string_view instance);
// Every field differs from its default, and from its neighbours of the same type.
RootRotation TestRotation(uint64_t number, RotationStep step = RotationStep::kDistribute);

// A fresh store's first step: both issuing authorities active, bundle 1. Returns the revision.
uint64_t Activate(Store& store);
// The same with kIssuingA under root "old" and kIssuingB under root "new".
uint64_t ActivateUnderTwoRoots(Store& store);
// One more change of a single authority on top of what is there.
absl::Status SetState(Store& store, absl::string_view id, AuthorityState state, bool tainted = false);
// What a caller with the certificate of `issued` shows.
PresentedCertificate Shown(const IssuanceRecord& issued);
// A record that renews `issued` by mTLS: same ID, shown and named as the parent.
IssuanceRecord RenewalOf(const IssuanceRecord& issued, RecordMaker& maker);
// Append, and wait for its answer.
absl::Status AppendAndWait(Store& store, IssuanceRecord record);
void ExpectSame(const IssuanceRecord& got, const IssuanceRecord& wanted);
void ExpectSame(const RootRotation& got, const RootRotation& wanted);

}  // namespace meshca::storage

#endif  // MESHCA_TEST_STORAGE_CONFORMANCE_H_
