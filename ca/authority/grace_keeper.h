// Keeps the UnrecordedGrace (authority_snapshot.h) in the database: begins it, ends it, and writes both to the audit
// log.
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

// The grace is the time during which some certificates may be renewed without a record. It is a sealed setting
// (kSettingUnrecordedGrace), because it grants a right: somebody who can only write the database must not be able to
// begin one. unrecorded_grace.h has its rules. One thread at a time; Load, Begin and EndWhatIsOver block on the
// database and return its errors.
class GraceKeeper {
 public:
  // `ledger` and `clock` outlive the keeper. A grace lasts for `leaf_lifetime_max`.
  GraceKeeper(AuthorityLedger& ledger, const ClockWatch& clock, absl::Duration leaf_lifetime_max)
      : ledger_(ledger), clock_(clock), leaf_lifetime_max_(leaf_lifetime_max) {}

  // Reads the stored grace, if any. DataLoss: it was not sealed with our key, or is not a grace.
  absl::Status Load();

  // Begins a grace at `reason.now` for certificates that one of `authority_ids` signed. If a grace is there already the
  // two are joined (JoinGraces).
  absl::Status Begin(std::vector<std::string> authority_ids, const ChangeReason& reason);

  // Records durably what has ended by `now`: the whole grace, or the part of an authority that may not be believed any
  // more.
  absl::Status EndWhatIsOver(absl::Time now);

  // The grace that applies now; nullopt: none. An end that could not be written to the database yet counts here.
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
