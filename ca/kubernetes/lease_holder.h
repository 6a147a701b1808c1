// Contends for a Lease of coordination.k8s.io, and keeps it: of the servers that write in a cluster, one does.
#ifndef MESHCA_CA_KUBERNETES_LEASE_HOLDER_H_
#define MESHCA_CA_KUBERNETES_LEASE_HOLDER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/leadership.h"
#include "ca/kubernetes/lease_contest.h"

namespace meshca::kubernetes {

struct LeaseStatus {
  std::string lease;  // LeasePlace::Text
  std::string uid;    // of that object; "": it was never read
  std::string identity;
  bool held = false;
  std::string holder;                       // as it was read last; "": nobody, or it was never read
  absl::Time since = absl::InfinitePast();  // it is held by `holder`, by whose clock; InfinitePast: it does not say
  absl::Status error;                       // of the last call, where that was no lost race
  // Of one that went while another server held it: until when nobody takes it, for people, after its name. "": it did
  // not, or that is over.
  std::string gone;
  // Since the start: times that this server has got it, and has lost it.
  uint64_t gained = 0;
  uint64_t lost = 0;
};

// Thread-safe.
class LeaseHolder final : public Leadership {
 public:
  // How long one look or one renewal may take. Several fit into the deadline.
  static constexpr absl::Duration kCallTimeout = absl::Seconds(3);

  // `server` and `clock` outlive it. Nothing is asked for before Start.
  LeaseHolder(LeasePlace place, LeaseTerms terms, ApiServer& server, const Clock& clock);
  ~LeaseHolder() override;  // Shutdown

  void AddListener(std::function<void()> changed) override { listeners_.push_back(std::move(changed)); }
  void Start() { executor_.Start(); }

  bool Held() const override;
  std::string WhyNot() const override;
  LeaseStatus Status() const;

  // Looks at the time now: after a jump of the clock, in tests.
  void Wake() { executor_.Wake(); }

  // It is not held from now on, and another server can have it at once: it is given back, unless the API server is
  // away. Whoever wrote by it has ended before. No listener is called any more when it returns. Takes a few seconds at
  // most. Idempotent; not on the API server's client thread.
  void Shutdown();

 private:
  absl::Duration Contend();
  void OnAnswer(bool was_write, absl::Duration begun, const absl::StatusOr<std::string>& answer);
  void TakeAnswer(bool was_write, absl::Duration begun, absl::StatusOr<LeaseRecord> record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellChange();
  void GiveBack();
  std::string WhyNotLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string GoneLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // LeaseStatus::gone

  const LeasePlace place_;
  const LeaseTerms terms_;
  ApiServer& server_;
  const Clock& clock_;
  std::vector<std::function<void()>> listeners_;  // from Start on only read

  mutable Mutex mutex_;
  CondVar ended_;  // a call has
  LeaseContest contest_ ABSL_GUARDED_BY(mutex_);
  bool under_way_ ABSL_GUARDED_BY(mutex_) = false;  // a call
  // Writes in a row that were refused as if somebody else had been first.
  int lost_races_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  uint64_t gained_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;

  // The executor's: what was told last.
  bool told_held_ = false;
  std::string told_why_not_;
  absl::Duration told_at_ = -absl::InfiniteDuration();  // since boot

  SerialExecutor executor_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_LEASE_HOLDER_H_
