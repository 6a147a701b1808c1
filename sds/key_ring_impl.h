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
#include "absl/container/flat_hash_set.h"
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

// The public calls are in key_ring.cc, the work on the executor's thread in key_ring_work.cc, what
// outlives a process in key_ring_handover.cc, how holders are judged in
// key_ring_judging.cc, and what follows from a revocation in key_ring_revocation.cc.
class KeyRing::Impl {
 public:
  Impl(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
       const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor);

  // Returns the ticket of the lease.
  uint64_t Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current);
  void Release(uint64_t ticket);
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen);
  uint64_t Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second, size_t most);
  void VisitKeys(absl::FunctionRef<void(const KeyView&)> visit) const;
  std::vector<SharedKey> SharedKeys() const;
  void Restore(RestoredKey key);
  void TryAgain();
  void Recheck();
  uint64_t DropRevoked();
  KeyRingStats Stats() const;
  void Shutdown();

 private:
  // One certificate that is being obtained, or (check_only) one question to the authenticator about holders.
  struct Attempt {
    HeldKeyPtr key;
    std::string parent_serial;  // "": no certificate yet
    bool check_only = false;
    bool recheck = false;             // the holders are judged again, even for a first certificate (HeldKey::recheck)
    std::vector<uint64_t> only = {};  // the tickets of the holders to judge; empty: all of them
    KeyHolderPtr holder = nullptr;    // on whose behalf the certificate is asked for; null: not chosen yet
  };
  // What the authenticator is asked about one process or connection, and what follows for the holders behind it.
  struct Question {
    KeyHolderPtr first;
    std::vector<uint64_t> tickets;
    absl::StatusOr<CallerIdentity> answer = absl::UnavailableError("not asked yet");
    enum {
      kStays,
      kElsewhere,  // it may have the identity, but with other rights than this key's: `name` is that of its key
      kRefused,    // for good; `why` says so
      kUnknown,    // `why` says why that cannot be said now
    } verdict = kUnknown;
    std::string name;
    absl::Status why;
  };
  // One attempt, and all that is asked for it. The executor's thread alone uses it.
  struct Round {
    Attempt attempt;
    std::vector<Question> questions;
    size_t begun = 0;
    size_t answered = 0;
  };
  // Whom to tell what, once no lock is held.
  using News = std::vector<std::pair<KeyHolderPtr, absl::StatusOr<SecretContent::Ptr>>>;
  static void Tell(const News& news);
  // `what` for every holder that is not held back; they count as served if it is a key.
  static void AddNews(HeldKey& key, const absl::StatusOr<SecretContent::Ptr>& what, News& news);

  // From an instance to the `until` that Revocations::dropped is told for it.
  using Ends = absl::flat_hash_map<std::string, absl::Time>;

  // ---- As time passes, on the executor's thread.

  // The executor's duty: begins whatever is due. Returns after how long it has to run again at the latest.
  absl::Duration BeginDue();
  std::vector<Attempt> TakeDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Times every renewal anew when the wall clock was set, or is believed again.
  void FollowClock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Retime(const HeldKeyPtr& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the certificate has not begun yet by a believed clock: it was made while the clock was ahead.
  bool IsFromAhead(const SecretContent& content) const;
  bool HasValid(const HeldKey& key) const;
  void Submit(Attempt attempt, CallerIdentity caller);
  void Issued(const Attempt& attempt, const SecretBytes& key_pem, absl::StatusOr<Svid> svid);
  void Failed(const Attempt& attempt, const absl::Status& why);
  // The SvidSource refused `attempt` for good: tells it to those whom it concerns, and goes on for the others.
  void TakeRefusal(const Attempt& attempt, const absl::Status& why, News& news, Ends& ends)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // An attempt has ended, one way or the other.
  void CountEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The executor's tick: what could not be judged is judged again.
  void JudgeAgain();
  absl::Duration RetryDelay(const HeldKey& key, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // ---- Who may hold what, on the executor's thread.

  // Judges the holders where that is needed, and then asks for the certificate.
  void Begin(Attempt attempt);
  // Nobody holds the key of `attempt` any more: nothing is asked for it.
  void EndUnheld(const Attempt& attempt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A holder that was judged when it came and was not asked about since; null: there is none.
  static KeyHolderPtr ChooseJudged(const HeldKey& key);
  static std::vector<Question> GatherQuestions(const Attempt& attempt);
  void Ask(const std::shared_ptr<Round>& round);
  void Judge(Question& question, const HeldKey& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // If nobody stays with the key, it becomes that of the first who has other rights now, unless there is such a key.
  void FollowRights(Round& round) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // All questions of the round are answered.
  void Decide(Round& round);
  // Applies the verdict to the holders behind `question`. True: some of them hold the key no longer.
  bool Apply(const Attempt& attempt, const Question& question, News& news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Move(const HeldKeyPtr& key, uint64_t ticket, const std::string& name, News& news)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // ---- Keys and their holders.

  HeldKeyPtr FindOrMake(const std::string& name, const SpiffeId& id, bool shared) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Adds a holder; the key is made or renewed for it in its time.
  void Add(const HeldKeyPtr& key, uint64_t ticket, HeldKey::Holding holding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the key out of the ring, and its holders off it. Whoever calls it keeps those (News) until no lock is held: a
  // listener may own whatever it likes.
  void Drop(const HeldKeyPtr& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // ---- Revocations.

  // Everybody who holds `current`, or held it last.
  static void AddInstances(const HeldKey& key, Ends& ends);
  void FindEnds(Ends& ends) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
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
  CondVar idle_;                                                               // in_flight_ became 0
  absl::flat_hash_map<std::string, HeldKeyPtr> keys_ ABSL_GUARDED_BY(mutex_);  // by HeldKey::name
  absl::flat_hash_map<uint64_t, HeldKeyPtr> held_by_ ABSL_GUARDED_BY(mutex_);  // by the lease's ticket
  absl::flat_hash_set<HeldKeyPtr> undecided_ ABSL_GUARDED_BY(mutex_);          // with holders that are held back
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
