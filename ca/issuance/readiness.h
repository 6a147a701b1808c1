// Whether the CA could issue right now: tried, not guessed.
#ifndef MESHCA_CA_ISSUANCE_READINESS_H_
#define MESHCA_CA_ISSUANCE_READINESS_H_

#include <functional>
#include <string>
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
// Unavailable: no authority, one that is not valid at `now` or stands under one that is not (says which and why), or
// the database's error; Internal: the key does not sign.
absl::Status TrySignAndCommit(const AuthoritySnapshots& authorities, StoreMaintenance& store, absl::Time now);

// Tries in the background, on a thread of its own, from construction to destruction. Thread-safe.
class Readiness {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(10);
  // While the answer is no it is tried so many times as often: what was mended is in use again soon.
  static constexpr int kOftener = 5;
  using Listener = std::function<void(const absl::Status&)>;

  // All references outlive it. `on_change` runs on its thread whenever the answer turns from Ok to an error, to
  // another error, or back; the first answer counts as a change.
  // `why_not`: why no authority signs, for people (AuthorityManager::WhyNotSigning); may be empty.
  Readiness(const AuthoritySnapshots& authorities, StoreMaintenance& store, const Clock& clock, Listener on_change,
            absl::Duration interval = kInterval, std::function<std::string()> why_not = nullptr);
  ~Readiness();

  // Ok, or why not. Unavailable before the first attempt, when one hangs for more than two intervals, and at once when
  // what signs is not valid now.
  absl::Status Ready() const;

 private:
  void Run();
  absl::Status WithWhyNot(absl::Status status) const;

  const AuthoritySnapshots& authorities_;
  StoreMaintenance& store_;
  const Clock& clock_;
  const Listener on_change_;
  const absl::Duration interval_;
  const std::function<std::string()> why_not_;

  mutable Mutex mutex_;
  CondVar stop_changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status answer_ ABSL_GUARDED_BY(mutex_) = absl::UnavailableError("starting");
  absl::Duration answered_at_ ABSL_GUARDED_BY(mutex_);  // since boot
  std::thread thread_;                                  // last: it uses all of the above
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_READINESS_H_
