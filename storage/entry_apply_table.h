// Database rows of applies, each of which changes many registration entries at once: the rows that it adds and the rows
// that it removes.
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
  bool counts = false;  // it has taken effect
  std::string actor;    // set when it takes effect
  absl::Time applied_at;
};

// A row that an apply adds.
struct StagedEntry {
  int64_t ref = 0;
  uint64_t place = 0;      // in the order given, from 1
  bool id_made = false;    // GivenEntry::id_made
  bool unchanged = false;  // an equal entry is in force already, so this row is not needed
  WithMac<RegistrationEntry> entry;
};

// A row that an apply removes.
struct TakenEntry {
  int64_t ref = 0;
  WithMac<RegistrationEntry> entry;
};

// At the moment when an apply takes effect, the rows that it adds (except those marked unchanged) begin to be in force,
// which is to say in EntryTable, and the rows that it removes cease to be. One apply never adds two rows with the same
// id, or with the same rights (SPIFFE ID, selectors and nodes).
class EntryApplyTable {
 public:
  virtual ~EntryApplyTable() = default;

  // Inserts a new apply, which has not taken effect; its number.
  virtual absl::StatusOr<uint64_t> Begin() = 0;
  virtual absl::StatusOr<std::optional<EntryApplyRow>> Find(uint64_t apply) = 0;
  // Lets it take effect.
  virtual absl::Status Activate(uint64_t apply, absl::string_view actor, absl::Time applied_at) = 0;
  // Deletes the apply itself, after all its rows were deleted or settled.
  virtual absl::Status Delete(uint64_t apply) = 0;
  // Visits every apply, the oldest first, until `visit` returns false.
  virtual absl::Status Visit(absl::FunctionRef<bool(uint64_t apply)> visit) = 0;
  // How many rows it adds and removes, together.
  virtual absl::StatusOr<uint64_t> CountRows(uint64_t apply) = 0;

  // Adds a row to it. AlreadyExists: it has one with this id, or with these rights.
  virtual absl::Status Stage(uint64_t apply, uint64_t place, const GivenEntry& given, const RowMacs& macs) = 0;
  // The place of the row with this id that it adds; nullopt: there is none.
  virtual absl::StatusOr<std::optional<uint64_t>> FindPlace(uint64_t apply, const std::string& id) = 0;
  // At most `rows_max` of the rows that it adds, in the order of their places, after the place `after_place`.
  virtual absl::StatusOr<std::vector<StagedEntry>> ReadStaged(uint64_t apply, uint64_t after_place,
                                                              uint64_t rows_max) = 0;
  // Changes the id of a row that an apply adds. AlreadyExists: the apply adds another row with this id.
  virtual absl::Status WriteId(int64_t ref, const std::string& id, const RowMacs& macs) = 0;
  virtual absl::Status MarkUnchanged(int64_t ref) = 0;

  // An entry in force whose id is not among the rows that the apply adds.
  struct Absent {
    int64_t ref = 0;
    std::string id;
  };
  // At most `rows_max` of these, after the row `after_ref`.
  virtual absl::StatusOr<std::vector<Absent>> ReadAbsent(uint64_t apply, int64_t after_ref, uint64_t rows_max) = 0;
  // Marks the row `ref` as one that the apply removes.
  virtual absl::Status TakeAway(uint64_t apply, int64_t ref) = 0;
  // At most `rows_max` of the rows that it removes.
  virtual absl::StatusOr<std::vector<TakenEntry>> ReadTaken(uint64_t apply, uint64_t rows_max) = 0;

  // Makes the row `ref`, which an apply adds, an ordinary entry that belongs to no apply.
  virtual absl::Status Settle(int64_t ref) = 0;
  virtual absl::Status DeleteRow(int64_t ref) = 0;
  // Undoes a part of an apply that has not taken effect: unmarks at most `rows_max` rows that it would remove, and
  // deletes at most as many that it adds. Returns how many rows it changed; 0: all is undone.
  virtual absl::StatusOr<uint64_t> Undo(uint64_t apply, uint64_t rows_max) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_APPLY_TABLE_H_
