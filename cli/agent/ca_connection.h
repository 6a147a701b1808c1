// The agent's connection to its CA: one Attach stream for as long as the agent runs, and the single calls beside it.
#ifndef MESHCA_CLI_AGENT_CA_CONNECTION_H_
#define MESHCA_CLI_AGENT_CA_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/rpc/client/client_channel.h"
#include "cli/agent/ca_caller.h"
#include "cli/agent/ca_connection_status.h"
#include "cli/agent/ca_orders.h"
#include "cli/agent/full_jitter.h"
#include "cli/agent/own_identity.h"
#include "cli/agent/server_judge.h"
#include "cli/agent/told_entries.h"
#include "cli/agent/told_trust.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::agent {

struct CaConnectionOptions {
  std::vector<std::string> servers;  // HOST:PORT, at least one; tried in turn from the first
  std::string agent_version;         // of the program, for people
  // The protocol versions that this end speaks.
  uint32_t protocol_oldest = 1;
  uint32_t protocol_newest = 1;
  // The waits between tries (FullJitter). A connection that lasted for retry_max starts them anew.
  absl::Duration retry_first = absl::Milliseconds(200);
  absl::Duration retry_max = absl::Seconds(30);
  // Around this long, by up to a half, where the CA has refused this agent: only an operator can change that.
  absl::Duration refused_retry = absl::Minutes(1);
  // From the beginning of a try until the CA's welcome.
  absl::Duration welcome_timeout = absl::Seconds(20);
  // A server that is silent for so long is asked whether it still lives.
  absl::Duration keepalive = absl::Seconds(30);
  // Two reports because something changed are at least so far apart.
  absl::Duration report_gap = absl::Milliseconds(200);
  // Of Call: how long one waits for a connection, how long for its answer, and how many may wait.
  absl::Duration call_wait = absl::Seconds(10);
  absl::Duration call_timeout = absl::Seconds(30);
  size_t waiting_max = 256;
};

// What the node holds, as the CA is told. Runs on the agent's executor; must not block.
class HeldSource {
 public:
  virtual ~HeldSource() = default;
  // All of Held but `entries_revision` and `own_trust_version`, which the connection knows.
  virtual v1::Held Report() = 0;
};

// Believes a server as ServerJudge says, by the trust that was told last, and shows it the agent's own certificate.
// Everything it holds lives on `executor`'s thread, where trust, entries and orders are passed on as well. The threads
// of gRPC only hand over. The next message is asked for when the one before has been taken, so a CA that talks faster
// than the disk writes waits.
class CaConnection final : public CaCaller {
 public:
  struct Parts {
    ToldTrust& trust;
    ToldEntries& entries;
    OwnIdentityHolder& identity;
    CaOrders& orders;
    HeldSource& held;
  };

  // Before executor.Start(), with which it begins. References outlive the connection, and the connection outlives the
  // executor's Shutdown, before which Shutdown is called.
  CaConnection(CaConnectionOptions options, Parts parts, const Clock& clock, EntropySource& entropy,
               SerialExecutor& executor);
  ~CaConnection() override;

  // CaCaller. A call waits for a connection only until each server was tried once since the start, or since a
  // connection was lost: then the CA is known to be away, and who asks is told so at once, with since when, instead of
  // by a deadline of his own. At most options.waiting_max calls wait: ResourceExhausted.
  void Call(const char* method, std::string request, Done done) override;

  // Any thread, cheap: what HeldSource reports has changed. Several calls make one report.
  void HeldChanged();

  // Any thread: the agent has another certificate than before. Connects anew with it, once no call is under way.
  void IdentityChanged();

  // Any thread.
  CaConnectionStatus Status() const;

  // Ends the connection; calls under way and waiting are told Cancelled or Unavailable, and so are later ones. Returns
  // when nothing of it runs any more, and never waits for the network. Once the executor has been started; not on its
  // thread. Idempotent.
  void Shutdown();

 private:
  class Attachment;
  struct WaitingCall {
    const char* method;
    std::string request;
    Done done;
    absl::Duration until;  // by the boot clock
  };

  // All on the executor's thread.
  absl::Duration Advance();
  void Connect();
  void Receive(const std::shared_ptr<Attachment>& from, const v1::AttachResponse& message);
  absl::Status Take(const v1::AttachResponse& message);
  absl::Status TakeWelcome(const v1::AttachWelcome& welcome);
  void Order(const v1::AttachResponse& message);
  void Fail(const absl::Status& why);
  void Wait(CaConnectionState state, const absl::Status& why, absl::Duration wait);
  absl::Duration LongestWait() const;
  void Drop();
  void Reattach();
  void ReportHeld();
  void Begin(WaitingCall call);
  void CallOrWait(WaitingCall call);
  void EndWaitingCalls(bool all);
  bool IsKnownAway() const { return failed_tries_ >= options_.servers.size(); }
  absl::Status WhyNotConnected() const;
  void SetStatus(CaConnectionState state, const absl::Status& why);

  const CaConnectionOptions options_;
  const Parts parts_;
  const Clock& clock_;
  EntropySource& entropy_;
  SerialExecutor& executor_;

  // The executor's.
  enum class Phase { kWaiting, kConnecting, kAttached, kEnded };
  Phase phase_ = Phase::kWaiting;
  absl::Duration next_ = absl::ZeroDuration();  // by the boot clock: the next try, or the end of patience with this one
  FullJitter jitter_;
  size_t server_ = 0;  // of options_.servers
  std::unique_ptr<rpc::ClientChannel> channel_;
  std::shared_ptr<ServerJudge> judge_;
  std::shared_ptr<Attachment> attachment_;
  absl::Duration attached_at_ = absl::ZeroDuration();
  absl::Duration heartbeat_ = absl::ZeroDuration();
  absl::Duration reported_at_ = absl::ZeroDuration();
  absl::Duration identity_changed_at_ = absl::InfiniteDuration();  // Infinite: it has not changed since Connect
  size_t failed_tries_ = 0;                                        // since the start, or since a welcome
  uint32_t calls_ = 0;                                             // under way
  std::deque<WaitingCall> waiting_;

  std::atomic<bool> held_changed_{false};
  mutable Mutex mutex_;
  CaConnectionStatus status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_CA_CONNECTION_H_
