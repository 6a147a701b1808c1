// What the fakes of AuthorityStore that change one call leave alone.
#ifndef MESHCA_TEST_FAKES_FORWARDING_AUTHORITY_STORE_H_
#define MESHCA_TEST_FAKES_FORWARDING_AUTHORITY_STORE_H_

#include <map>
#include <string>

#include "ca/authority/authority_store.h"

namespace meshca {

// Hands every call to inner(); a fake overrides those that it is about.
class ForwardingAuthorityStore : public AuthorityStore {
 public:
  absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() override { return inner().LoadAuthorities(); }
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override {
    return inner().CommitAuthorities(change);
  }
  absl::StatusOr<uint64_t> WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) override {
    return inner().WaitForRevisionAbove(known, wait_max);
  }
  void EndRevisionWaits() override { inner().EndRevisionWaits(); }
  absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) override {
    return inner().CountLiveLeaves(now);
  }
  absl::StatusOr<std::string> GetSetting(absl::string_view name) override { return inner().GetSetting(name); }
  absl::Status PutSetting(absl::string_view name, absl::string_view value) override {
    return inner().PutSetting(name, value);
  }
  absl::StatusOr<std::string> GetSealedSetting(absl::string_view name) override {
    return inner().GetSealedSetting(name);
  }
  absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) override {
    return inner().PutSealedSetting(name, value);
  }

 private:
  // Lives as long as this.
  virtual AuthorityStore& inner() = 0;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_FORWARDING_AUTHORITY_STORE_H_
