// Thousands of agents from one thread: each joins by a token, has a connection of its own by its own certificate, and
// speaks the agents' protocol on it.
#ifndef MESHCA_TEST_BENCH_AGENTS_LOAD_H_
#define MESHCA_TEST_BENCH_AGENTS_LOAD_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"
#include "test/bench/agent_wire.h"
#include "test/bench/latency_histogram.h"
#include "test/bench/simulated_agent.h"
#include "test/bench/stream_connection.h"
#include "test/bench/tls_target.h"

namespace meshca::bench {

struct AgentsLoadOptions {
  TlsTargetOptions server;          // without a client certificate
  std::vector<std::string> tokens;  // one an agent
  uint32_t consumers = 10;          // of each agent
  size_t at_once = 64;              // connections that are being made at one time
  uint64_t check_one_in = 100;      // of the certificates; each is read whole and verified
};

struct AgentsCounts {
  uint64_t connections = 0;  // that shook hands
  uint64_t certificates = 0;
  uint64_t own_renewals = 0;
  uint64_t checked_whole = 0;
  uint64_t reports = 0;
  std::map<std::string, uint64_t> errors;  // what had to be tried again, by code; of streams and of certificates
  std::string first_error;
  LatencyHistogram sign;  // of Sign calls
};

// One thread; nothing is served but inside its calls. What fails is counted, and tried again a second later, as agents
// do (without their jitter: the numbers of two runs are to be comparable).
class AgentsLoad {
 public:
  // Raises the limit of open files. Errors: TlsTarget::Create's; FailedPrecondition (limits); InvalidArgument.
  static absl::StatusOr<std::unique_ptr<AgentsLoad>> Create(AgentsLoadOptions options);
  ~AgentsLoad();

  // Each of these ends when all agents are that far. Errors: DeadlineExceeded, with how many are; the system's.
  absl::Status Join(absl::Time deadline);  // they have certificates and no connection
  // A few of them attach before the others and ask for `certificates` beside their own, so that what the CA takes up by
  // signing is not mistaken for what agents take. Returns how many they are.
  absl::StatusOr<size_t> WarmUp(size_t certificates, absl::Time deadline);
  absl::Status Connect(absl::Time deadline);  // mTLS connections on which nobody has said anything
  absl::Status Attach(absl::Time deadline);   // attached, told everything, every certificate signed
  // All processes start again at once: connections are made anew, every certificate is asked for again. Until settled.
  absl::Status Restart(absl::Time deadline);

  // `calls` Sign calls of `batch` requests each for new keys, `in_flight` of them at a time, each from another agent.
  absl::Status SignBatches(size_t calls, size_t batch, size_t in_flight, absl::Time deadline);

  // Makes keys and requests until so many are ready, so that no clock measures it.
  void MakeRequests(size_t count);

  // One consumer each of the first `count` agents.
  void FallAsleep(size_t count);
  void WakeUp();

  // Serves until `done`, asked after every wake-up, or `deadline`. `extra_fd` wakes as well. Returns whether done.
  absl::StatusOr<bool> ServeUntil(absl::FunctionRef<bool()> done, absl::Time deadline, int extra_fd = -1);

  size_t agents() const { return agents_.size(); }
  size_t settled() const { return settled_; }
  // Certificates that each agent holds for its workloads, summed.
  uint64_t held() const;
  // What was counted since the last call.
  AgentsCounts TakeCounts() { return std::exchange(counts_, {}); }

 private:
  struct Agent;
  struct Link;
  enum class Purpose { kJoin, kConnect, kAttach };
  enum class Due { kReport, kHeartbeat, kConnect, kSign };
  struct Timer {
    int64_t at_ns;
    uint32_t agent;
    Due due;
    bool operator>(const Timer& other) const { return at_ns > other.at_ns; }
  };

  explicit AgentsLoad(AgentsLoadOptions options, std::unique_ptr<TlsTarget> target);
  absl::Status ConnectAll(Purpose purpose, absl::Time deadline, absl::FunctionRef<bool()> done);
  absl::Status Turn(absl::Time until);
  absl::Status StartConnections();
  absl::Status StartConnection(uint32_t number);
  absl::Status ShakeHands(Agent& agent);
  void OnOpen(Agent& agent);
  void OnSocket(Agent& agent, uint32_t events);
  void Watch(Agent& agent);
  void AfterServing(Agent& agent);
  void Drop(Agent& agent);
  void ConnectAgain(Agent& agent);
  void Fire(const Timer& timer);
  void Add(absl::Duration in, const Agent& agent, Due due);
  void Count(const absl::Status& error);

  void OpenAttach(Agent& agent);
  void SendReport(Agent& agent);
  void OnMessage(Agent& agent, uint32_t stream, absl::string_view message);
  void OnEnd(Agent& agent, uint32_t stream, const absl::Status& status);
  absl::Status TakeAttach(Agent& agent, absl::string_view message);
  void TakeRoots(const agent::v1::Trust& trust);
  absl::Status TakeJoin(Agent& agent, absl::string_view message);
  void TakeSigned(Agent& agent, uint32_t stream, absl::string_view message);
  absl::Status TakeOwn(Agent& agent, const agent::v1::CertificateResult& result);
  absl::Status SetOwnCertificate(Agent& agent, const google::protobuf::RepeatedPtrField<std::string>& chain);
  void AskForWishes(Agent& agent);
  void SendSign(Agent& agent, const std::vector<SimulatedAgent::Wish>& wishes, bool for_load);
  void SendBatches();
  void Follow(Agent& agent);
  std::string TakeRequest();

  const AgentsLoadOptions options_;
  const std::unique_ptr<TlsTarget> target_;
  const X509StorePtr roots_;  // all that were ever told
  UniqueFd epoll_;
  std::vector<nghttp2_nv> attach_headers_, sign_headers_;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::map<std::string, X509Ptr> issuers_;  // by DER: the agents share them
  std::map<std::string, bool> known_roots_;
  std::deque<std::string> requests_;  // CSRs made beforehand
  std::deque<uint32_t> to_connect_;
  size_t connecting_ = 0;
  size_t at_purpose_ = 0;  // agents that are as far as the phase goes
  size_t settled_ = 0;
  size_t batches_left_ = 0, batches_open_ = 0, batches_in_flight_ = 0, batch_ = 0;
  uint32_t next_generation_ = 0;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  AgentsCounts counts_;
  absl::Status fatal_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_AGENTS_LOAD_H_
