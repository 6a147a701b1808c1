// A store that another server changes too, always a moment earlier.
#ifndef MESHCA_TEST_FAKES_OVERTAKEN_STORE_H_
#define MESHCA_TEST_FAKES_OVERTAKEN_STORE_H_

#include "ca/base/check.h"
#include "test/fakes/forwarding_authority_store.h"
#include "test/fakes/memory_store.h"

namespace meshca {

// Before each of the next `conflicts` commits another server's change comes first.
class OvertakenStore final : public ForwardingAuthorityStore {
 public:
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

  MemoryStore memory;
  int conflicts = 0;

 private:
  AuthorityStore& inner() override { return memory; }
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_OVERTAKEN_STORE_H_
