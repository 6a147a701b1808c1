// Whether the CA could issue right now: tried, not guessed.
#ifndef MESHCA_CA_ISSUANCE_READINESS_H_
#define MESHCA_CA_ISSUANCE_READINESS_H_

#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/issuance/store_maintenance.h"

namespace meshca {

// Signs a throw-away message with the active key, verifies it, and commits a throw-away value: what an issuance needs,
// outside the inventory. Blocks on the database.
// Unavailable: no authority, or the database's error; Internal: the key does not sign.
absl::Status TrySignAndCommit(const AuthoritySnapshots& authorities, StoreMaintenance& store);

// Tries in the background, on a thread of its own, from construction to destruction. Thread-safe.
class Readiness {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(10);
  using Listener = std::function<void(const absl::Status&)>;

  // All references outlive it. `on_change` runs on its thread whenever the answer turns from Ok to an error, to
  // another error, or back; the first answer counts as a change.
  Readiness(const AuthoritySnapshots& authorities, StoreMaintenance& store, const Clock& clock, Listener on_change,
            absl::Duration interval = kInterval);
  ~Readiness();

  // Ok, or why not. Unavailable before the first attempt, and when one hangs for more than two intervals.
  absl::Status Ready() const;

 private:
  void Run();

  const AuthoritySnapshots& authorities_;
  StoreMaintenance& store_;
  const Clock& clock_;
  const Listener on_change_;
  const absl::Duration interval_;

  mutable Mutex mutex_;
  CondVar stop_changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status answer_ ABSL_GUARDED_BY(mutex_) = absl::UnavailableError("starting");
  absl::Duration answered_at_ ABSL_GUARDED_BY(mutex_);  // since boot
  std::thread thread_;                                  // last: it uses all of the above
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_READINESS_H_
