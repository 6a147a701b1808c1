#include "test/storage/fault_vfs.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <random>
#include <utility>

#include "ca/base/check.h"

namespace meshca::storage {

struct FaultVfs::Handle {
  sqlite3_file base;  // first: SQLite sees only this
  FaultVfs* vfs;
  FilePtr file;
};

// SQLite's callbacks. What each must do: https://www.sqlite.org/c3ref/io_methods.html and vfs.html.
struct FaultVfsMethods {
  using File = FaultVfs::File;
  using Handle = FaultVfs::Handle;
  using Write = FaultVfs::Write;
  using Fault = FaultVfs::Fault;

  static Handle& Of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }
  static FaultVfs& Of(sqlite3_vfs* vfs) { return *static_cast<FaultVfs*>(vfs->pAppData); }
  static sqlite3_vfs* System() { return sqlite3_vfs_find("unix"); }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    FaultVfs& self = Of(vfs);
    MutexLock lock(self.mutex_);
    file->pMethods = nullptr;
    if (!self.powered_) return SQLITE_CANTOPEN;
    FaultVfs::FilePtr opened = std::make_shared<File>();
    if (name != nullptr) opened = self.files_.try_emplace(name, opened).first->second;
    auto* handle = new (file) Handle{{Methods()}, &self, std::move(opened)};
    static_cast<void>(handle);
    if (out_flags != nullptr) {
      *out_flags = self.fault_ == Fault::kReadOnly ? (flags & ~SQLITE_OPEN_READWRITE) | SQLITE_OPEN_READONLY : flags;
    }
    return SQLITE_OK;
  }

  static int Close(sqlite3_file* file) {
    Handle& handle = Of(file);
    {
      MutexLock lock(handle.vfs->mutex_);
      handle.file->locks.erase(&handle);
    }
    handle.~Handle();
    return SQLITE_OK;
  }

  static int Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    if (!handle.vfs->powered_) return SQLITE_IOERR_READ;
    const std::string& bytes = handle.file->seen;
    const size_t from = std::min(static_cast<size_t>(offset), bytes.size());
    const size_t have = std::min(static_cast<size_t>(size), bytes.size() - from);
    std::memcpy(out, bytes.data() + from, have);
    if (have == static_cast<size_t>(size)) return SQLITE_OK;
    std::memset(static_cast<char*>(out) + have, 0, static_cast<size_t>(size) - have);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int WriteAt(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    if (!handle.vfs->Step()) return SQLITE_IOERR_WRITE;
    const uint64_t end = static_cast<uint64_t>(offset) + static_cast<uint64_t>(size);
    if (handle.vfs->fault_ == Fault::kReadOnly) return SQLITE_IOERR_WRITE;
    if (handle.vfs->fault_ == Fault::kDiskFull && end > handle.file->seen.size()) return SQLITE_FULL;
    Write write{static_cast<uint64_t>(offset), std::string(static_cast<const char*>(bytes), static_cast<size_t>(size)),
                false};
    FaultVfs::Apply(write, handle.file->seen);
    handle.file->unsynced.push_back(std::move(write));
    return SQLITE_OK;
  }

  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    if (!handle.vfs->Step() || handle.vfs->fault_ == Fault::kReadOnly) return SQLITE_IOERR_TRUNCATE;
    Write write{static_cast<uint64_t>(size), "", true};
    FaultVfs::Apply(write, handle.file->seen);
    handle.file->unsynced.push_back(std::move(write));
    return SQLITE_OK;
  }

  static int Sync(sqlite3_file* file, int) {
    Handle& handle = Of(file);
    FaultVfs& self = *handle.vfs;
    MutexLock lock(self.mutex_);
    ++self.syncs_;
    if (!self.Step()) return SQLITE_IOERR_FSYNC;
    if (self.fault_ == Fault::kSyncFails || self.fault_ == Fault::kOneSyncFails) {
      if (self.fault_ == Fault::kOneSyncFails) self.fault_ = Fault::kNone;
      handle.file->unsynced.clear();
      return SQLITE_IOERR_FSYNC;
    }
    for (const Write& write : handle.file->unsynced) FaultVfs::Apply(write, handle.file->on_disk);
    handle.file->unsynced.clear();
    handle.file->is_on_disk = true;
    for (const auto& [name, other] : self.files_) {
      if (other == handle.file) self.deleted_.erase(name);
    }
    return SQLITE_OK;
  }

  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    if (!handle.vfs->powered_) return SQLITE_IOERR_FSTAT;
    *size = static_cast<sqlite3_int64>(handle.file->seen.size());
    return SQLITE_OK;
  }

  // The highest lock that another handle holds.
  static int HighestOther(const Handle& handle) {
    int highest = SQLITE_LOCK_NONE;
    for (const auto& [holder, level] : handle.file->locks) {
      if (holder != &handle) highest = std::max(highest, level);
    }
    return highest;
  }

  static int Lock(sqlite3_file* file, int level) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    int& mine = handle.file->locks[&handle];
    if (mine >= level) return SQLITE_OK;
    const int others = HighestOther(handle);
    const int refused_from = level == SQLITE_LOCK_SHARED     ? SQLITE_LOCK_PENDING
                             : level == SQLITE_LOCK_RESERVED ? SQLITE_LOCK_RESERVED
                                                             : SQLITE_LOCK_SHARED;
    if (others >= refused_from) return SQLITE_BUSY;
    mine = level;
    return SQLITE_OK;
  }

  static int Unlock(sqlite3_file* file, int level) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    handle.file->locks[&handle] = level;
    return SQLITE_OK;
  }

  static int CheckReservedLock(sqlite3_file* file, int* out) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    *out = HighestOther(handle) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
  }

  static int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int SectorSize(sqlite3_file*) { return 512; }
  static int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    MESHCA_CHECK(size == 32768);
    auto& memory = handle.file->shared_memory;
    handle.file->shm_locks.try_emplace(&handle);
    while (extend != 0 && memory.size() <= static_cast<size_t>(region)) {
      memory.push_back(std::make_unique<std::array<char, 32768>>());
      memory.back()->fill(0);
    }
    *out = memory.size() > static_cast<size_t>(region) ? memory[static_cast<size_t>(region)]->data() : nullptr;
    return SQLITE_OK;
  }

  static int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    auto& mine = handle.file->shm_locks[&handle];
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int slot = offset; (flags & SQLITE_SHM_LOCK) != 0 && slot < offset + count; ++slot) {
      for (const auto& [holder, locks] : handle.file->shm_locks) {
        const char held = locks[static_cast<size_t>(slot)];
        if (holder != &handle && (held == 'x' || (held == 's' && exclusive))) return SQLITE_BUSY;
      }
    }
    const char wanted = (flags & SQLITE_SHM_UNLOCK) != 0 ? '\0' : exclusive ? 'x' : 's';
    for (int slot = offset; slot < offset + count; ++slot) mine[static_cast<size_t>(slot)] = wanted;
    return SQLITE_OK;
  }

  static void ShmBarrier(sqlite3_file* file) {
    FaultVfs& self = *Of(file).vfs;
    MutexLock lock(self.mutex_);
  }

  static int ShmUnmap(sqlite3_file* file, int) {
    Handle& handle = Of(file);
    MutexLock lock(handle.vfs->mutex_);
    handle.file->shm_locks.erase(&handle);
    // The first to come after the last has gone finds it empty, as with the system's layer.
    if (handle.file->shm_locks.empty()) handle.file->shared_memory.clear();
    return SQLITE_OK;
  }

  static const sqlite3_io_methods* Methods() {
    static const sqlite3_io_methods methods = {2,
                                               Close,
                                               Read,
                                               WriteAt,
                                               Truncate,
                                               Sync,
                                               FileSize,
                                               Lock,
                                               Unlock,
                                               CheckReservedLock,
                                               FileControl,
                                               SectorSize,
                                               DeviceCharacteristics,
                                               ShmMap,
                                               ShmLock,
                                               ShmBarrier,
                                               ShmUnmap,
                                               nullptr,
                                               nullptr};
    return &methods;
  }

  static int Delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
    FaultVfs& self = Of(vfs);
    MutexLock lock(self.mutex_);
    if (!self.Step() || self.fault_ == Fault::kReadOnly) return SQLITE_IOERR_DELETE;
    auto file = self.files_.find(name);
    if (file == self.files_.end()) return SQLITE_IOERR_DELETE_NOENT;
    if (file->second->is_on_disk && sync_folder == 0) self.deleted_[name] = file->second->on_disk;
    self.files_.erase(file);
    return SQLITE_OK;
  }

  static int Access(sqlite3_vfs* vfs, const char* name, int, int* out) {
    FaultVfs& self = Of(vfs);
    MutexLock lock(self.mutex_);
    if (!self.powered_) return SQLITE_IOERR_ACCESS;
    auto file = self.files_.find(name);
    *out = file != self.files_.end() && !file->second->seen.empty();
    return SQLITE_OK;
  }

  static int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
    return sqlite3_snprintf(size, out, "%s", name) == nullptr ? SQLITE_CANTOPEN : SQLITE_OK;
  }
  static int Randomness(sqlite3_vfs*, int size, char* out) { return System()->xRandomness(System(), size, out); }
  static int Sleep(sqlite3_vfs*, int micros) { return System()->xSleep(System(), micros); }
  static int CurrentTime(sqlite3_vfs*, double* out) { return System()->xCurrentTime(System(), out); }
  static int GetLastError(sqlite3_vfs*, int, char*) { return 0; }
};

FaultVfs::FaultVfs() {
  sqlite3_initialize();
  vfs_.iVersion = 1;
  vfs_.szOsFile = sizeof(Handle);
  vfs_.mxPathname = 512;
  vfs_.zName = name();
  vfs_.pAppData = this;
  vfs_.xOpen = FaultVfsMethods::Open;
  vfs_.xDelete = FaultVfsMethods::Delete;
  vfs_.xAccess = FaultVfsMethods::Access;
  vfs_.xFullPathname = FaultVfsMethods::FullPathname;
  vfs_.xRandomness = FaultVfsMethods::Randomness;
  vfs_.xSleep = FaultVfsMethods::Sleep;
  vfs_.xCurrentTime = FaultVfsMethods::CurrentTime;
  vfs_.xGetLastError = FaultVfsMethods::GetLastError;
  MESHCA_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(&vfs_); }

void FaultVfs::Set(Fault fault) {
  MutexLock lock(mutex_);
  fault_ = fault;
}

void FaultVfs::CutPowerAt(uint64_t operation) {
  MutexLock lock(mutex_);
  cut_at_ = operation;
}

void FaultVfs::CutPower() {
  MutexLock lock(mutex_);
  powered_ = false;
}

bool FaultVfs::powered() const {
  MutexLock lock(mutex_);
  return powered_;
}

uint64_t FaultVfs::operations() const {
  MutexLock lock(mutex_);
  return operations_;
}

uint64_t FaultVfs::syncs() const {
  MutexLock lock(mutex_);
  return syncs_;
}

bool FaultVfs::Step() {
  ++operations_;
  if (cut_at_ != 0 && operations_ >= cut_at_) powered_ = false;
  return powered_;
}

void FaultVfs::Apply(const Write& write, std::string& bytes) {
  if (write.truncate) {
    bytes.resize(static_cast<size_t>(write.offset));
    return;
  }
  if (bytes.size() < write.offset + write.bytes.size()) bytes.resize(write.offset + write.bytes.size());
  std::memcpy(bytes.data() + write.offset, write.bytes.data(), write.bytes.size());
}

void FaultVfs::Restart(uint32_t seed) {
  constexpr size_t kSector = 512;
  MutexLock lock(mutex_);
  std::mt19937 random(seed);
  auto kept = [&] { return seed != 0 && (seed == 1 || random() % 2 == 0); };
  std::map<std::string, FilePtr> found;
  for (const auto& [name, bytes] : deleted_) {
    if (!kept()) continue;
    FilePtr& file = found[name] = std::make_shared<File>();
    file->on_disk = bytes;
    file->is_on_disk = true;
  }
  for (auto& [name, file] : files_) {
    MESHCA_CHECK(file->locks.empty());
    bool exists = file->is_on_disk;
    for (const Write& write : file->unsynced) {
      if (write.truncate) {
        if (kept()) Apply(write, file->on_disk);
        continue;
      }
      for (size_t from = 0; from < write.bytes.size();) {
        const size_t size = std::min(write.bytes.size() - from, kSector - (write.offset + from) % kSector);
        if (kept()) {
          Apply({write.offset + from, write.bytes.substr(from, size), false}, file->on_disk);
          exists = true;
        }
        from += size;
      }
    }
    file->unsynced.clear();
    if (!exists) continue;
    file->is_on_disk = true;
    found[name] = file;
  }
  for (auto& [name, file] : found) file->seen = file->on_disk;
  files_ = std::move(found);
  deleted_.clear();
  fault_ = Fault::kNone;
  cut_at_ = 0;
  powered_ = true;
}

}  // namespace meshca::storage
