// Judges the connections that are open when trust is taken away.
#ifndef MESHCA_CA_SERVICE_CONNECTION_JUDGE_H_
#define MESHCA_CA_SERVICE_CONNECTION_JUDGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/client_certificate.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_store.h"
#include "ca/rpc/peer.h"

namespace meshca {

// Does the change from `before` to `after` take trust away, so that who is connected must be judged again: an authority
// newly tainted or retired, a root gone, the time without records ended or narrowed?
bool TakesTrustAway(const AuthoritySnapshot& before, const AuthoritySnapshot& after);

// A thread that judges everybody who is connected by a client certificate, as a call of his would be: the authorities
// on the verified path (PathStanding), then the inventory (IssuanceStore::JudgePresented). Who fails is cut at once.
// It runs when asked, when the authorities change so that trust is taken away, and when the time without records ends.
// Requests that come while it runs make one more run. What could not be judged (the database is away) is judged again
// until it is, within five seconds each time. Thread-safe.
class ConnectionJudge {
 public:
  // Everything outlives the judge. The functions are rpc::Server's.
  struct Parts {
    AuthoritySnapshots* authorities;
    const ClientCertificateAuthenticator* authenticator;
    IssuanceStore* issuances;
    std::function<std::vector<std::shared_ptr<const rpc::Peer>>()> certified_peers;
    std::function<void(std::vector<uint64_t> connection_ids, std::string why)> cut;
    const JudgedClock* clock;  // nobody is cut as expired by a clock that has just jumped
  };

  struct Stats {
    uint64_t runs = 0;
    uint64_t judged = 0;  // connections
    uint64_t cut = 0;     // connections
    uint64_t failed = 0;  // runs that could not judge everybody
  };

  explicit ConnectionJudge(Parts parts);
  ~ConnectionJudge();

  // Runs with every run, on the judge's thread, for who is not known by a client certificate. An error means that not
  // everybody could be judged, and is tried again. Before Start.
  void AlsoJudge(std::function<absl::Status()> judge);

  // Listens to the authorities, which change no more once Stop has returned, and starts the thread.
  void Start();
  // Waits for the run under way. Idempotent.
  void Stop();

  // A certificate was revoked, a right taken away: judges everybody again, now. Returns at once.
  void JudgeEverybody();

  Stats stats() const;

 private:
  void Run();
  absl::Status JudgeOnce();
  void OnAuthorities(const std::shared_ptr<const AuthoritySnapshot>& snapshot);
  // Of the time without records; InfiniteFuture: there is none.
  absl::Time EndOfGrace() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Parts parts_;
  std::vector<std::function<absl::Status()>> also_;
  std::thread thread_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<const AuthoritySnapshot> seen_ ABSL_GUARDED_BY(mutex_);
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Stats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_CONNECTION_JUDGE_H_
