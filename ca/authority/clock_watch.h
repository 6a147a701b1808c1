// Judges the wall clock for a CA, keeps the newest time seen in the database, and lets the operator accept the clock.
#ifndef MESHCA_CA_AUTHORITY_CLOCK_WATCH_H_
#define MESHCA_CA_AUTHORITY_CLOCK_WATCH_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/guarded_clock.h"
#include "ca/base/clock.h"
#include "ca/base/judged_clock.h"

namespace meshca {

// The mark (the newest time seen) is a setting of the store (kSettingClockMark). Questions about the present time, and
// whether it can be believed, are answered from memory: those calls are thread-safe and never block. Load, Observe and
// Accept use the ledger and block on the database: one thread at a time.
class ClockWatch {
 public:
  // How often the mark is written while the clock runs steadily.
  static constexpr absl::Duration kMarkEvery = absl::Minutes(1);

  // `clock` and `ledger` outlive this object. After a reboot a clock that is ahead of the mark by more than
  // `leaf_lifetime_max` is not believed until the operator accepts it.
  ClockWatch(const Clock& clock, AuthorityLedger& ledger, absl::Duration leaf_lifetime_max);

  // The clock for all code that forgets or deletes something because of the time.
  const JudgedClock& clock() const { return clock_; }
  ClockLook Judge() const { return clock_.Judge(); }
  // The time, for code that declares something ended. FailedPrecondition (reason CLOCK_UNSTEADY): the clock cannot be
  // believed; the message says what is wrong.
  absl::StatusOr<absl::Time> BelievedNow() const;
  // What is wrong with the clock now, for people; "" when steady.
  std::string FindingNow() const { return clock_.Judge().finding; }
  // The newest time that was believed. It never goes back, except in Accept.
  absl::Time NewestBelieved() const { return clock_.mark().newest; }

  // Reads the mark that an earlier process stored. Called before anything else. DataLoss: the stored text is no mark.
  absl::Status Load();
  // Looks at the clock, moves the mark on if the clock is steady, and writes the mark when that is due (kMarkEvery).
  ClockLook Observe();
  // The operator says that the clock is right as it is, so what was frozen because of it goes on. Durable and audited.
  absl::Status Accept(const std::string& actor);

 private:
  AuthorityLedger& ledger_;
  const absl::Duration leaf_lifetime_max_;
  GuardedClock clock_;
  absl::Time mark_written_ = absl::InfinitePast();  // used by Load, Observe and Accept alone
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CLOCK_WATCH_H_
