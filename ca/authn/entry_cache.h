// The registration entries in memory, so that no call waits for the database.
#ifndef MESHCA_CA_AUTHN_ENTRY_CACHE_H_
#define MESHCA_CA_AUTHN_ENTRY_CACHE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ca/authn/overflow_ids.h"
#include "ca/base/mutex.h"
#include "ca/identity/entry_store.h"

namespace meshca {

// All entries at one moment, indexed by what the kernel tells of a caller. Immutable.
class EntrySnapshot {
 public:
  // An entry with a selector that cannot be read fits nobody, nor does one with a number that names nobody
  // (`overflow`).
  explicit EntrySnapshot(std::vector<RegistrationEntry> entries, OverflowIds overflow = OverflowIds::OfKernel());

  const std::vector<RegistrationEntry>& entries() const { return entries_; }

  // The entries whose every selector fits, oldest first (then by id). `executable` is called at most once, and only
  // when an entry that fits so far asks for a path; nothing: unknown, which fits no path.
  std::vector<const RegistrationEntry*> Match(uint32_t uid, uint32_t gid,
                                              absl::FunctionRef<std::optional<std::string>()> executable) const;

 private:
  struct Conditions {  // of entries_[index]
    size_t index = 0;
    std::optional<uint32_t> uid;
    std::optional<uint32_t> gid;
    std::string path;  // "": any
  };
  void Index(size_t index);

  const OverflowIds overflow_;
  std::vector<RegistrationEntry> entries_;
  // By uid where there is one, else by gid, else by path alone: a caller is compared with few entries, not with all.
  absl::flat_hash_map<uint32_t, std::vector<Conditions>> by_uid_;
  absl::flat_hash_map<uint32_t, std::vector<Conditions>> by_gid_;
  std::vector<Conditions> by_path_;
};

// Thread-safe.
class EntryCache {
 public:
  // Never null; no entries before the first Reload.
  std::shared_ptr<const EntrySnapshot> Current() const;

  // Reads all entries and publishes them. Whoever changes entries calls it afterwards; calls run one at a time, so the
  // last one sees every change made before it. Blocks on the database. On an error the old snapshot stays.
  absl::Status Reload(EntryStore& store);

 private:
  Mutex reload_;  // held across the read, so that an older answer never replaces a newer one
  mutable Mutex mutex_;
  std::shared_ptr<const EntrySnapshot> current_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<const EntrySnapshot>(std::vector<RegistrationEntry>());
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_ENTRY_CACHE_H_
