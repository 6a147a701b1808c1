// A file layer for SQLite that fails on demand and forgets what was not synced.
#ifndef MESHCA_TEST_STORAGE_FAULT_VFS_H_
#define MESHCA_TEST_STORAGE_FAULT_VFS_H_

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"

namespace meshca::storage {

// Files live in memory, each as programs see it and as the disk has it. At a power cut every call fails until Restart()
// comes up with the disk as it was, plus whatever part of the unsynced writes a seed picks, in any order, cut at
// 512-byte sectors: what a drive's cache does. A new file is on the disk once it was synced; a deleted one may be back
// until another of its name was synced. Thread-safe; one at a time.
class FaultVfs {
 public:
  enum class Fault {
    kNone,
    kDiskFull,      // writes that make a file longer fail
    kReadOnly,      // every write fails, and files open read-only
    kSyncFails,     // fsync fails, and the kernel then takes the pages for clean, as Linux does
    kOneSyncFails,  // the same, once
  };

  FaultVfs();
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;
  // For SqliteOptions::vfs.
  const char* name() const { return "meshca-fault"; }

  void Set(Fault fault);
  // The power fails at the `operation`-th write, sync, truncate or delete since construction, which does not happen.
  void CutPowerAt(uint64_t operation);
  // Now.
  void CutPower();
  bool powered() const;
  uint64_t operations() const;  // so far
  uint64_t syncs() const;       // of these
  // The machine comes up, healthy. No connection may be open. Seed 0: nothing unsynced was kept; 1: all of it.
  void Restart(uint32_t seed);

 private:
  friend struct FaultVfsMethods;
  struct Handle;

  struct Write {
    uint64_t offset = 0;
    std::string bytes;
    bool truncate = false;  // to `offset`
  };
  struct File {
    std::string seen;
    std::string on_disk;
    bool is_on_disk = false;
    std::vector<Write> unsynced;
    std::map<const Handle*, int> locks;                                     // SQLITE_LOCK_*, those above none
    std::vector<std::unique_ptr<std::array<char, 32768>>> shared_memory;    // the log's index
    std::map<const Handle*, std::array<char, SQLITE_SHM_NLOCK>> shm_locks;  // 0, 's' or 'x' for each user of it
  };
  using FilePtr = std::shared_ptr<File>;

  // Counts one operation; false when the power is off.
  bool Step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Apply(const Write& write, std::string& bytes);

  mutable Mutex mutex_;
  std::map<std::string, FilePtr> files_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> deleted_ ABSL_GUARDED_BY(mutex_);  // may be back after a power cut
  Fault fault_ ABSL_GUARDED_BY(mutex_) = Fault::kNone;
  uint64_t operations_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t syncs_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t cut_at_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: never
  bool powered_ ABSL_GUARDED_BY(mutex_) = true;
  sqlite3_vfs vfs_ = {};
};

}  // namespace meshca::storage

#endif  // MESHCA_TEST_STORAGE_FAULT_VFS_H_
