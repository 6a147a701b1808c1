#include "storage/entry_applies.h"

#include <algorithm>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "storage/entry_apply_steps.h"

namespace meshca::storage {
namespace {

// Each has staged rows in the database until it ends.
constexpr size_t kOpenAppliesMax = 8;

}  // namespace

bool EntryApplies::IsOpen(uint64_t apply) {
  MutexLock lock(mutex_);
  return open_.contains(apply);
}

absl::StatusOr<uint64_t> EntryApplies::BeginWork(uint64_t apply) {
  MutexLock lock(mutex_);
  const auto found = open_.find(apply);
  if (found == open_.end()) {
    return absl::AbortedError(
        "this apply of entries was left alone while others waited, and gave way to them: nothing was changed; apply "
        "the entries again");
  }
  found->second.at_work = true;
  return found->second.given;
}

void EntryApplies::EndWork(uint64_t apply, uint64_t given) {
  MutexLock lock(mutex_);
  if (const auto found = open_.find(apply); found != open_.end()) {
    found->second = {given, false, std::chrono::steady_clock::now()};
  }
}

bool EntryApplies::MakePlace() {
  if (open_.size() < kOpenAppliesMax) return true;
  const auto before = std::chrono::steady_clock::now() - absl::ToChronoNanoseconds(silence_max_);
  const auto silent = std::find_if(open_.begin(), open_.end(), [&](const auto& open) {
    return !open.second.at_work && open.second.rests_since <= before;
  });
  if (silent == open_.end()) return false;
  open_.erase(silent);
  return true;
}

void EntryApplies::Close(uint64_t apply) {
  MutexLock lock(mutex_);
  open_.erase(apply);
}

absl::Status EntryApplies::SettleAbandoned() {
  MutexLock no_apply_ends(ending_);
  return SettleAbandonedLocked();
}

absl::Status EntryApplies::SettleAbandonedLocked() {
  for (;;) {
    MESHCA_ASSIGN_OR_RETURN(const uint64_t apply, transactions_.Ask<uint64_t>([this](Tables& tables) {
      return FindAbandonedApply(tables, [this](uint64_t ref) { return IsOpen(ref); });
    }));
    if (apply == 0) return absl::OkStatus();
    MESHCA_RETURN_IF_ERROR(SettleApply(transactions_, apply, [](uint64_t, uint64_t) {}));
  }
}

absl::StatusOr<uint64_t> EntryApplies::Begin() {
  // Held throughout: an apply that is written and not yet listed would look abandoned.
  MutexLock lock(mutex_);
  if (!MakePlace()) {
    return absl::ResourceExhaustedError("too many applies of entries are under way; try again when one has ended");
  }
  MESHCA_ASSIGN_OR_RETURN(const uint64_t apply, BeginEntryApply(transactions_));
  open_[apply] = {};
  return apply;
}

absl::Status EntryApplies::Stage(uint64_t apply, std::span<const GivenEntry> part, size_t* at) {
  *at = 0;
  MESHCA_ASSIGN_OR_RETURN(const uint64_t given, BeginWork(apply));
  uint64_t taken = given;
  const absl::Cleanup rest = [&] { EndWork(apply, taken); };
  if (given + part.size() > kApplyEntriesMax) {
    *at = kApplyEntriesMax - given;
    return absl::InvalidArgumentError(
        absl::StrCat("one apply holds at most ", kApplyEntriesMax, " entries; this is the next"));
  }
  MESHCA_RETURN_IF_ERROR(StageInSteps(transactions_, apply, given, part, at));
  taken += part.size();
  return absl::OkStatus();
}

absl::StatusOr<EntryApplyCounts> EntryApplies::Finish(uint64_t apply, const EntryApplyOptions& options,
                                                      const AuditEntry& audit, const EntryApplyListener& listener,
                                                      uint64_t* at) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t given, BeginWork(apply));
  MutexLock one_at_a_time(ending_);
  EntryApplyCounts counts;
  uint64_t place = 1;
  absl::Status settled = SettleAbandonedLocked();
  absl::StatusOr<bool> active = false;
  if (!settled.ok()) {
    active = settled;
  } else {
    active =
        gate_.Judging([&] { return JudgeAndActivate(transactions_, apply, options, audit, listener, counts, &place); });
  }
  *at = place - 1;
  settled = SettleApply(transactions_, apply, [&](uint64_t done, uint64_t of) {
    if (of > 0) listener.progress(given + done * given / of, 2 * given);
  });
  Close(apply);
  // What counts, counts: the rest is tidying, and pruning comes back to it.
  if (!settled.ok())
    LogWarning("an apply of entries is not tidied up yet", {{"error", std::string(settled.message())}});
  MESHCA_RETURN_IF_ERROR(active.status());
  return counts;
}

void EntryApplies::Drop(uint64_t apply) {
  if (!BeginWork(apply).ok()) return;
  // What stays behind counts for nothing, and pruning comes back to it.
  if (const absl::Status settled = SettleApply(transactions_, apply, [](uint64_t, uint64_t) {}); !settled.ok()) {
    LogWarning("the parts of an apply of entries that was given up are still stored; pruning removes them",
               {{"error", std::string(settled.message())}});
  }
  Close(apply);
}

}  // namespace meshca::storage
