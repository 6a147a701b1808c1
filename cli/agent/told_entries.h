// The registration entries of this node, as its CA told them.
#ifndef MESHCA_CLI_AGENT_TOLD_ENTRIES_H_
#define MESHCA_CLI_AGENT_TOLD_ENTRIES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "ca/authn/entry_cache.h"
#include "ca/base/mutex.h"
#include "ca/identity/entry_store.h"
#include "ca/spiffe/trust_domain.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::agent {

// Puts a list together from its messages and publishes it to an EntryCache, which UnixPeerAuthenticator reads: callers
// are matched, and the rights of several entries with one identity added up, exactly as on the CA's own socket. Until
// the last message of a change has come, the state before is served. Entries stand in the order in which the CA told
// them first, so that a caller's default identity stays the same.
//
// An entry that could fit nobody on this node, or is not for a workload of the trust domain, is left out and named in
// the log: the others hold.
//
// Restore, Apply, Whole and ForgetPart: one thread at a time, which listeners run on. The rest: any thread.
class ToldEntries {
 public:
  static constexpr size_t kEntriesMax = 100'000;

  // `cache` outlives it; nobody else writes to it.
  explicit ToldEntries(EntryCache& cache) : cache_(cache) {}

  // What an earlier process was told, until the CA tells it anew: revision() stays 0. Before any Apply.
  void Restore(const v1::EntriesChange& saved, const TrustDomain& trust_domain);
  // What is served, in the order of telling, for Restore.
  v1::EntriesChange Whole() const;

  // One message of the CA's. InvalidArgument: a change of a list that was never told whole; an entry without an id or
  // with an ID that cannot be read. ResourceExhausted: more than kEntriesMax. On an error what is served stays, and
  // the change that was being put together is forgotten, so that the list has to be told whole again.
  absl::Status Apply(const v1::EntriesChange& change, const TrustDomain& trust_domain);

  // The connection ended in the middle of a change: what came of it is forgotten.
  void ForgetPart();

  // Of what is served; 0: no list was ever told whole, or the CA is to tell it anew.
  uint64_t revision() const;
  size_t size() const;

  // Called after each change that is served from now on. Added before the first Apply. Must not block.
  void AddListener(std::function<void()> listener) { listeners_.push_back(std::move(listener)); }

 private:
  struct Entry {
    uint64_t place = 0;  // among all, in the order in which they were told first
    v1::NodeEntry told;
  };
  using Entries = std::map<std::string, Entry>;  // by id

  absl::Status Stage(const v1::EntriesChange& change);
  void Publish(const TrustDomain& trust_domain, uint64_t revision);

  EntryCache& cache_;
  std::vector<std::function<void()>> listeners_;
  // One thread's.
  Entries served_;
  Entries staged_;
  bool staging_ = false;
  uint64_t next_place_ = 0;

  mutable Mutex mutex_;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_TOLD_ENTRIES_H_
