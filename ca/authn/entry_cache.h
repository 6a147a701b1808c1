// The registration entries in memory, so that no call waits for the database.
#ifndef MESHCA_CA_AUTHN_ENTRY_CACHE_H_
#define MESHCA_CA_AUTHN_ENTRY_CACHE_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/process_facts.h"
#include "ca/authn/selector.h"
#include "ca/base/mutex.h"
#include "ca/identity/entry_store.h"

namespace meshca {

// All entries at one moment, found by what there is to know of a caller. Immutable.
class EntrySnapshot {
 public:
  // An entry with a selector that cannot be read fits nobody, nor does one with a number that names nobody
  // (`overflow`).
  explicit EntrySnapshot(std::vector<RegistrationEntry> entries, OverflowIds overflow = OverflowIds::OfKernel());

  const std::vector<RegistrationEntry>& entries() const { return entries_; }

  // The entries whose every selector fits, oldest first (then by id). Of the process only those facts are asked for
  // that some entry rests on which fits so far. A fact that cannot be learned fits no selector. Where
  // `process.needs_more()` is true afterwards, entries may be missing: match again with a ProcessFacts that may read
  // anything.
  std::vector<const RegistrationEntry*> Match(ProcessFacts& process) const;

 private:
  struct Conditions {  // of entries_[index]
    size_t index = 0;
    std::vector<Selector> rest;  // what must fit beside the selector that it is found by
  };
  void Index(size_t index);

  const OverflowIds overflow_;
  std::vector<RegistrationEntry> entries_;
  // One map for each of SelectorKinds(), by value. An entry stands once, under the first of its selectors in their
  // order: a caller is compared with few entries, not with all.
  std::vector<absl::flat_hash_map<std::string, std::vector<Conditions>>> by_value_;
};

// Thread-safe.
class EntryCache {
 public:
  // Never null; no entries before the first Reload.
  std::shared_ptr<const EntrySnapshot> Current() const;

  // Reads all entries and publishes them. Whoever changes entries calls it afterwards; calls run one at a time, so the
  // last one sees every change made before it. Blocks on the database. On an error the old snapshot stays.
  absl::Status Reload(EntryStore& store);
  // The last Reload failed, so what is in memory may be older than what was committed: reload again soon.
  bool stale() const { return stale_.load(std::memory_order_acquire); }

  // Publishes entries that come from elsewhere than a store: an agent is told its own by the CA.
  void Publish(std::vector<RegistrationEntry> entries);

 private:
  std::atomic<bool> stale_{false};
  Mutex reload_;  // held across the read, so that an older answer never replaces a newer one
  mutable Mutex mutex_;
  std::shared_ptr<const EntrySnapshot> current_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<const EntrySnapshot>(std::vector<RegistrationEntry>());
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_ENTRY_CACHE_H_
