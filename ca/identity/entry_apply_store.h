// Many registration entries at once: given part by part, then made to count all together. storage/ implements it.
#ifndef MESHCA_CA_IDENTITY_ENTRY_APPLY_STORE_H_
#define MESHCA_CA_IDENTITY_ENTRY_APPLY_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/identity/audit_entry.h"
#include "ca/identity/entry_store.h"

namespace meshca {

// The most entries of one apply. Its parts lie in the database until it ends, not in memory.
inline constexpr uint64_t kApplyEntriesMax = 1'000'000;

struct GivenEntry {
  RegistrationEntry entry;
  // The id was made from the rights: where an entry with these rights has another id, it keeps that.
  bool id_made = false;
};

enum class EntryVerdict { kCreated, kReplaced, kUnchanged, kDeleted };

struct EntryApplyCounts {
  uint64_t created = 0;
  uint64_t replaced = 0;
  uint64_t unchanged = 0;
  uint64_t deleted = 0;
  uint64_t changes() const { return created + replaced + deleted; }
};

struct EntryApplyOptions {
  bool prune = false;    // also take away every entry that was not given
  bool dry_run = false;  // judge and change nothing
};

// Who is told of an apply while it ends; on the thread of FinishApply.
struct EntryApplyListener {
  // What becomes of one entry. Only what FinishApply answers says that it became so.
  absl::FunctionRef<void(EntryVerdict verdict, const std::string& id)> visit;
  // So many of so many steps are done.
  absl::FunctionRef<void(uint64_t done, uint64_t of)> progress;
};

// Thread-safe. Calls block on the database, but no transaction of theirs is long: issuance goes on meanwhile. A crash
// before the apply counts leaves nothing that counts, one after it nothing undone.
class EntryApplyStore {
 public:
  virtual ~EntryApplyStore() = default;

  // A new apply that has no entries yet. End it by FinishApply, DropApply or LeaveApply. Where as many are open as a
  // store has places for, one that was left alone for a minute gives way; ResourceExhausted: there is none.
  virtual absl::StatusOr<uint64_t> BeginApply() = 0;
  // Adds `part`; nobody sees it yet. InvalidArgument: more than kApplyEntriesMax, or an entry with the id, or with the
  // SPIFFE ID, selectors and nodes, of one given before; `*at` is then which of `part`. Aborted: the apply gave way to
  // another. After an error drop the apply.
  virtual absl::Status StageEntries(uint64_t apply, std::span<const GivenEntry> part, size_t* at) = 0;
  // Makes what was given exist: creates, replaces those with the same id, leaves equal ones alone. All of it counts
  // from one moment on, or nothing does. The audit log gets a line for each entry that changes, by the actor and time
  // of `audit`, and above 200 changes a line `entry.apply` before them that says how many there are.
  // AlreadyExists: an entry that stays has the SPIFFE ID, selectors and nodes of one given; `*at` is which of all
  // given, in the order given. The apply is over in any case.
  virtual absl::StatusOr<EntryApplyCounts> FinishApply(uint64_t apply, const EntryApplyOptions& options,
                                                       const AuditEntry& audit, const EntryApplyListener& listener,
                                                       uint64_t* at) = 0;
  // Forgets what was given.
  virtual void DropApply(uint64_t apply) = 0;
  // The same for a thread that must not wait for the database: what was given lies there, counts for nothing, and goes
  // with the next pruning.
  virtual void LeaveApply(uint64_t apply) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_ENTRY_APPLY_STORE_H_
