// The implementation of the key ring. Only its own sources include this header.
#ifndef MESHCA_SDS_KEY_RING_IMPL_H_
#define MESHCA_SDS_KEY_RING_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/base/secret.h"
#include "sds/held_key.h"
#include "sds/key_ring.h"
#include "sds/key_schedule.h"

namespace meshca::sds {

// The PermissionDenied (reason CERTIFICATE_REVOKED) that the holder of a revoked certificate is told.
absl::Status CertificateRevoked(const SpiffeId& id, absl::string_view serial);

// The public calls are in key_ring.cc, the work on the executor's thread in key_ring_work.cc, and what follows from a
// revocation in key_ring_revocation.cc.
class KeyRing::Impl {
 public:
  Impl(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
       const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor);

  std::pair<HeldKeyPtr, uint64_t> Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current);
  void Release(const HeldKeyPtr& key, uint64_t ticket);
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen);
  uint64_t Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second);
  void Recheck();
  uint64_t DropRevoked();
  KeyRingStats Stats() const;
  void Shutdown();

 private:
  // One certificate that is being obtained, or (check_only) one question to the authenticator about the owner.
  struct Attempt {
    HeldKeyPtr key;
    std::shared_ptr<const Owner> owner;
    std::string parent_serial;  // "": no certificate yet
    bool check_only = false;
    bool recheck = false;  // the owner has to be judged again, even for a first certificate (HeldKey::recheck)
  };
  using Listeners = std::vector<std::shared_ptr<const Listener>>;

  // The executor's duty: begins whatever is due. Returns after how long it has to run again at the latest.
  absl::Duration BeginDue();
  std::vector<Attempt> TakeDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Times every renewal anew when the wall clock was set, or is believed again.
  void FollowClock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Retime(const HeldKeyPtr& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the certificate has not begun yet by a believed clock: it was made while the clock was ahead.
  bool IsFromAhead(const SecretContent& content) const;
  void Begin(Attempt attempt);
  void Submit(Attempt attempt, CallerIdentity caller);
  void Judged(Attempt attempt, absl::StatusOr<CallerIdentity> caller);
  void Issued(const Attempt& attempt, const SecretBytes& key_pem, absl::StatusOr<Svid> svid);
  void Failed(const Attempt& attempt, const absl::Status& why);
  // An attempt has ended, one way or the other.
  void CountEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The executor's tick: what could not be judged is judged again.
  void JudgeAgain();

  void Drop(const HeldKeyPtr& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RetryDelay(const HeldKey& key, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static Listeners ListenersOf(const HeldKey& key);

  // From an instance to the `until` that Revocations::dropped is told for it.
  using Ends = absl::flat_hash_map<std::string, absl::Time>;
  Ends EndsOf(const std::vector<std::string>& instances) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellEnds(const Ends& ends) const;
  // False also where the source cannot answer; then DropRevoked runs again at the next tick. Called with no lock held.
  bool IsRevoked(const std::string& serial);
  // Whether the certificate that `attempt` brought was revoked while the attempt was under way; the attempt has then
  // been ended by Failed. Releases the lock while it asks the source.
  bool RevokedMeanwhile(const Attempt& attempt, const std::string& serial) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The status that the holder of the key is told when the SvidSource answered `refusal`.
  static absl::Status ForHolder(const Attempt& attempt, const absl::Status& refusal);

  const KeyRingOptions options_;
  SvidSource& svids_;
  const Authenticate authenticate_;
  const Revocations revocations_;
  const JudgedClock& clock_;
  ClockSetting setting_{clock_};  // used by the executor's thread alone
  EntropySource& entropy_;
  SerialExecutor& executor_;

  mutable Mutex mutex_;
  CondVar idle_;  // in_flight_ became 0
  absl::flat_hash_map<std::string, HeldKeyPtr> keys_ ABSL_GUARDED_BY(mutex_);
  KeySchedule schedule_ ABSL_GUARDED_BY(mutex_);
  bool believed_ ABSL_GUARDED_BY(mutex_) = true;  // whether the clock was believed at the last FollowClock
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  KeyRingStats stats_ ABSL_GUARDED_BY(mutex_);
  bool judge_again_ ABSL_GUARDED_BY(mutex_) = false;  // the source could not say what was revoked
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_RING_IMPL_H_
