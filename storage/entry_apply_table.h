// Applies of many registration entries as rows: what each brings and takes away.
#ifndef MESHCA_STORAGE_ENTRY_APPLY_TABLE_H_
#define MESHCA_STORAGE_ENTRY_APPLY_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/entry_apply_store.h"
#include "storage/with_mac.h"

namespace meshca::storage {

// One apply.
struct EntryApplyRow {
  bool counts = false;
  std::string actor;  // once it counts
  absl::Time applied_at;
};

// A row that an apply brought.
struct StagedEntry {
  int64_t ref = 0;
  uint64_t place = 0;      // in the order given, from 1
  bool id_made = false;    // GivenEntry::id_made
  bool unchanged = false;  // an equal row lives already
  WithMac<RegistrationEntry> entry;
};

// A row that an apply takes away.
struct TakenEntry {
  int64_t ref = 0;
  WithMac<RegistrationEntry> entry;
};

// Rows that an apply brought count (EntryTable) from the moment the apply counts, but for those marked unchanged; rows
// it takes away cease to count at the same moment. One apply never has two rows with one id, nor with the same rights.
class EntryApplyTable {
 public:
  virtual ~EntryApplyTable() = default;

  // A new apply that does not count; its number.
  virtual absl::StatusOr<uint64_t> Begin() = 0;
  virtual absl::StatusOr<std::optional<EntryApplyRow>> Find(uint64_t apply) = 0;
  // Makes it count.
  virtual absl::Status Activate(uint64_t apply, absl::string_view actor, absl::Time applied_at) = 0;
  // All its rows are gone or came to rest.
  virtual absl::Status Delete(uint64_t apply) = 0;
  // Every apply, the oldest first, until `visit` returns false.
  virtual absl::Status Visit(absl::FunctionRef<bool(uint64_t apply)> visit) = 0;
  // How many rows it brought and takes away.
  virtual absl::StatusOr<uint64_t> CountRows(uint64_t apply) = 0;

  // Brings a row. AlreadyExists: it has one with this id, or with these rights.
  virtual absl::Status Stage(uint64_t apply, uint64_t place, const GivenEntry& given, absl::string_view mac) = 0;
  // The place of the row with this id that it brought.
  virtual absl::StatusOr<std::optional<uint64_t>> FindPlace(uint64_t apply, const std::string& id) = 0;
  // The next `rows_max` rows that it brought, in the order of their places.
  virtual absl::StatusOr<std::vector<StagedEntry>> ReadStaged(uint64_t apply, uint64_t after_place,
                                                              uint64_t rows_max) = 0;
  // Of a row that it brought. AlreadyExists: it has another with this id.
  virtual absl::Status WriteId(int64_t ref, const std::string& id, absl::string_view mac) = 0;
  virtual absl::Status MarkUnchanged(int64_t ref) = 0;

  // A living row that it did not bring by its id.
  struct Absent {
    int64_t ref = 0;
    std::string id;
  };
  // The next `rows_max` of them behind the row `after_ref`.
  virtual absl::StatusOr<std::vector<Absent>> ReadAbsent(uint64_t apply, int64_t after_ref, uint64_t rows_max) = 0;
  virtual absl::Status TakeAway(uint64_t apply, int64_t ref) = 0;
  // At most `rows_max` of the rows that it takes away.
  virtual absl::StatusOr<std::vector<TakenEntry>> ReadTaken(uint64_t apply, uint64_t rows_max) = 0;

  // The row `ref`, which an apply brought, is one like any other from now on.
  virtual absl::Status Settle(int64_t ref) = 0;
  virtual absl::Status DeleteRow(int64_t ref) = 0;
  // Undoes an apply that does not count, `rows_max` rows of each kind: what it takes away stays, what it brought goes.
  // How many rows it touched.
  virtual absl::StatusOr<uint64_t> Undo(uint64_t apply, uint64_t rows_max) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_APPLY_TABLE_H_
