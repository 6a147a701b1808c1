// The folder and the files around the database: who may read them, what disk they are on, who has them open.
#ifndef MESHCA_STORAGE_SQLITE_STATE_FOLDER_H_
#define MESHCA_STORAGE_SQLITE_STATE_FOLDER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"

namespace meshca::storage {

// Reason on the PermissionDenied for a folder or file whose mode or owner lets others in.
inline constexpr char kStateOpenToOthers[] = "STATE_OPEN_TO_OTHERS";
// Reason on the AlreadyExists when another server has the database.
inline constexpr char kStoreInUse[] = "STORE_IN_USE";

// Makes the folder of `path` where it is missing, with what is missing above it (each 0700, and its name fsynced);
// sets the mode of one that is ours and holds nothing else back to 0700. Refuses what others can enter or another user
// owns (PermissionDenied, by secret_access.h), and what is on a network file system (FailedPrecondition).
absl::Status PrepareFolder(const std::string& path);

// Makes the empty file (0600, fsynced with its folder) where it is missing; refuses one that is no regular file
// (FailedPrecondition) or that others can get at and we cannot set back (PermissionDenied), likewise for its log.
absl::Status PrepareFile(const std::string& path);

// FailedPrecondition for what statfs calls a network or user-space file system: its locks and fsync promise too little
// for a database, so two servers could write one file.
absl::Status CheckFileSystem(uint64_t statfs_type, const std::string& path);

// Holds PATH.lock for one process; another holder: AlreadyExists, with its pid where it wrote it. Released when closed;
// the kernel releases it when the process dies.
absl::StatusOr<UniqueFd> LockDatabase(const std::string& path);

// A restore that was past its point of no return when the machine died: PATH.restoring takes the place of PATH, and
// what stood there becomes PATH.replaced-N. Nothing to do where there is no such file. Call with the lock held.
absl::Status FinishRestore(const std::string& path);

// The file's bytes with its log's.
uint64_t DatabaseBytes(const std::string& path);

// fsync of one file, by name.
absl::Status SyncFile(const std::string& path);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_STATE_FOLDER_H_
