// Keeps the time in which certificates without a record may renew: begins it, ends it, writes both down.
#ifndef MESHCA_CA_AUTHORITY_GRACE_KEEPER_H_
#define MESHCA_CA_AUTHORITY_GRACE_KEEPER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/clock_watch.h"

namespace meshca {

// The grace is a sealed setting (kSettingUnrecordedGrace), because it grants a right: whoever can write the database
// must not be able to begin one. unrecorded_grace.h has its rules. One thread at a time.
class GraceKeeper {
 public:
  // Both outlive the keeper. `leaf_lifetime_max`: how long a grace lasts.
  GraceKeeper(AuthorityLedger& ledger, const ClockWatch& clock, absl::Duration leaf_lifetime_max)
      : ledger_(ledger), clock_(clock), leaf_lifetime_max_(leaf_lifetime_max) {}

  // Reads what is stored. DataLoss: it was not sealed here, or is no grace.
  absl::Status Load();

  // From `reason.now` on certificates that one of `authority_ids` signed may renew without a record, for one longest
  // leaf lifetime. Joined with a grace that stands already.
  absl::Status Begin(std::vector<std::string> authority_ids, const ChangeReason& reason);

  // Ends durably what has ended at `now`: the whole grace, or that of an authority that may not be believed any more.
  absl::Status EndWhatIsOver(absl::Time now);

  // What holds now; nothing: every certificate needs its record. An end that could not be written yet holds all the
  // same.
  std::optional<UnrecordedGrace> Remaining() const;

 private:
  absl::Status Commit(const std::optional<UnrecordedGrace>& grace, const std::vector<AuditEntry>& audit);

  AuthorityLedger& ledger_;
  const ClockWatch& clock_;
  const absl::Duration leaf_lifetime_max_;
  std::optional<UnrecordedGrace> grace_;  // as it is stored
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_GRACE_KEEPER_H_
