// A store that another server changes too, always a moment earlier.
#ifndef MESHCA_TEST_FAKES_OVERTAKEN_STORE_H_
#define MESHCA_TEST_FAKES_OVERTAKEN_STORE_H_

#include <map>
#include <string>

#include "ca/authority/authority_store.h"
#include "ca/base/check.h"
#include "test/fakes/memory_store.h"

namespace meshca {

// Before each of the next `conflicts` commits another server's change comes first.
class OvertakenStore final : public AuthorityStore {
 public:
  absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() override { return memory.LoadAuthorities(); }
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override {
    if (conflicts > 0) {
      --conflicts;
      const AuthoritiesAndBundle now = memory.LoadAuthorities().value();
      AuthorityChange others;
      others.expected_revision = now.revision;
      others.trust_domain = now.trust_domain;
      others.audit.emplace_back();
      MESHCA_CHECK(memory.CommitAuthorities(others).ok());
    }
    return memory.CommitAuthorities(change);
  }
  absl::StatusOr<uint64_t> WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) override {
    return memory.WaitForRevisionAbove(known, wait_max);
  }
  void EndRevisionWaits() override { memory.EndRevisionWaits(); }
  absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) override {
    return memory.CountLiveLeaves(now);
  }
  absl::StatusOr<std::string> GetSetting(absl::string_view name) override { return memory.GetSetting(name); }
  absl::Status PutSetting(absl::string_view name, absl::string_view value) override {
    return memory.PutSetting(name, value);
  }
  absl::StatusOr<std::string> GetSealedSetting(absl::string_view name) override {
    return memory.GetSealedSetting(name);
  }
  absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) override {
    return memory.PutSealedSetting(name, value);
  }

  MemoryStore memory;
  int conflicts = 0;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_OVERTAKEN_STORE_H_
