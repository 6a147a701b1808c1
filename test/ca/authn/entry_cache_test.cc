// The entries in memory are those of the store, or known not to be.
#include "ca/authn/entry_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

class OneEntry final : public EntryStore {
 public:
  absl::Status CreateEntry(const RegistrationEntry&, const AuditEntry&) override { return absl::OkStatus(); }
  absl::Status PutEntry(const RegistrationEntry&, const AuditEntry&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<RegistrationEntry>> ListEntries() override {
    if (!broken.ok()) return broken;
    return std::vector<RegistrationEntry>(1);
  }
  absl::Status DeleteEntry(absl::string_view, const AuditEntry&) override { return absl::OkStatus(); }

  absl::Status broken;
};

TEST(EntryCache, KnowsThatItIsBehindUntilItHasReadAgain) {
  OneEntry store;
  EntryCache cache;
  EXPECT_FALSE(cache.stale());
  store.broken = absl::UnavailableError("disk I/O error");
  EXPECT_THAT(cache.Reload(store), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(cache.stale());
  EXPECT_TRUE(cache.Current()->entries().empty());
  store.broken = absl::OkStatus();
  EXPECT_THAT(cache.Reload(store), IsOk());
  EXPECT_FALSE(cache.stale());
  EXPECT_EQ(cache.Current()->entries().size(), 1u);
}

}  // namespace
}  // namespace meshca
