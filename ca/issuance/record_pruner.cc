#include "ca/issuance/record_pruner.h"

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "ca/base/log.h"

namespace meshca {

RecordPruner::RecordPruner(StoreMaintenance& store, const JudgedClock& clock, absl::Duration retention)
    : store_(store), clock_(clock), retention_s_(absl::ToInt64Seconds(retention)) {}

void RecordPruner::SetRetention(absl::Duration retention) { retention_s_ = absl::ToInt64Seconds(retention); }

absl::Duration RecordPruner::Tick() {
  // The pace is kept in time since boot: a wall clock that is set neither hurries nor holds up the next batch.
  const absl::Duration began = clock_.SinceBoot();
  if (began < next_) return next_ - began;
  const std::optional<absl::Time> now = clock_.BelievedNow();
  if (!now.has_value()) return kEvery;
  const absl::StatusOr<uint64_t> pruned = store_.Prune(*now - absl::Seconds(retention_s_.load()), kRowsMax);
  const absl::Duration ended = clock_.SinceBoot();
  if (!pruned.ok()) LogWarning("pruning expired issuances failed", {{"error", pruned.status().ToString()}});
  // A batch that was not full was the last one of this pruning.
  next_ = ended + (pruned.ok() && *pruned == kRowsMax ? kPause * (ended - began) : kEvery);
  return next_ - ended;
}

}  // namespace meshca
