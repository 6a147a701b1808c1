// Watches the wall clock for a CA: remembers over restarts how far it had come, and takes the operator's word for it.
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

// The high-water mark of the clock is a setting of the store (kSettingClockMark). What the clock is at this moment, and
// whether it may be believed, is answered without the store: those calls are thread-safe and do not block. Load,
// Observe and Accept use the ledger: one thread at a time.
class ClockWatch {
 public:
  // How often the mark is written while the clock runs steadily.
  static constexpr absl::Duration kMarkEvery = absl::Minutes(1);

  // `clock` and `ledger` outlive it. `leaf_lifetime_max`: after a reboot the clock may be that far ahead of the mark
  // before the operator has to speak.
  ClockWatch(const Clock& clock, AuthorityLedger& ledger, absl::Duration leaf_lifetime_max);

  // The clock that everything goes by which forgets, deletes or moves on.
  const JudgedClock& clock() const { return clock_; }
  ClockLook Judge() const { return clock_.Judge(); }
  // The time, for what declares something ended by it. FailedPrecondition (CLOCK_UNSTEADY): says what is wrong.
  absl::StatusOr<absl::Time> BelievedNow() const;
  // What is wrong with the clock now, for people; "" when steady.
  std::string FindingNow() const { return clock_.Judge().finding; }
  // The newest time that was believed: it never goes back, except by Accept.
  absl::Time NewestBelieved() const { return clock_.mark().newest; }

  // The mark of an earlier life, before anybody asks. DataLoss: what is stored is no mark.
  absl::Status Load();
  // A look that the mark follows, and that writes the mark when it is due.
  ClockLook Observe();
  // The operator's word that the clock is right as it is: what was frozen because of it goes on. Durable and audited.
  absl::Status Accept(const std::string& actor);

 private:
  AuthorityLedger& ledger_;
  const absl::Duration leaf_lifetime_max_;
  GuardedClock clock_;
  absl::Time mark_written_ = absl::InfinitePast();  // by Load, Observe and Accept alone
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CLOCK_WATCH_H_
