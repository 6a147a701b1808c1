// Judges the connections that are open when trust is taken away.
#ifndef MESHCA_CA_EDGE_CONNECTION_JUDGE_H_
#define MESHCA_CA_EDGE_CONNECTION_JUDGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/edge/peer_standing.h"
#include "ca/rpc/peer.h"

namespace meshca {

// A thread that judges everybody who is connected by a client certificate, as a call of his would be (PeerStanding).
// Who fails is cut at once. It runs when asked, when the standing says that trust was taken away, and when the time has
// come that it named. Requests that come while it runs make one more run. What could not be judged (the database is
// away) is judged again until it is, within five seconds each time. Thread-safe.
class ConnectionJudge {
 public:
  // Everything outlives the judge. The functions are rpc::Server's.
  struct Parts {
    PeerStanding* standing;
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

  // Watches the standing, which changes no more once Stop has returned, and starts the thread.
  void Start();
  // Waits for the run under way. Idempotent.
  void Stop();

  // A certificate was revoked, a right taken away: judges everybody again, now. Returns at once.
  void JudgeEverybody();

  Stats stats() const;

 private:
  void Run();
  absl::Status JudgeOnce();
  void OnChange(const PeerStanding::Change& change);

  const Parts parts_;
  std::vector<std::function<absl::Status()>> also_;
  std::thread thread_;

  mutable Mutex mutex_;
  CondVar changed_;
  absl::Time worsens_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // PeerStanding::Change
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Stats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_EDGE_CONNECTION_JUDGE_H_
