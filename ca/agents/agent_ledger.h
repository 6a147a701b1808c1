// All agents of nodes and what each node holds, by the agents' reports and by what the CA knows better itself.
#ifndef MESHCA_CA_AGENTS_AGENT_LEDGER_H_
#define MESHCA_CA_AGENTS_AGENT_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/agents/agent_instance.h"
#include "ca/agents/agent_report.h"
#include "ca/agents/authority_ids.h"
#include "ca/agents/known_agent.h"
#include "ca/subscribers/subscriber_instance.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// Who has attached, as its certificate and its hello say.
struct ArrivedAgent {
  std::string node;
  std::string spiffe_id;
  std::string peer;     // its address, for people
  std::string version;  // of the program, for people
  uint32_t protocol_version = 0;
  // A process that has just begun: it has been told no entries yet, and its node's consumers have still to come back.
  bool fresh_process = false;
  // Of the certificate that it showed.
  std::string authority_id;
  absl::Time not_after;
};

// A certificate that was issued for a node.
struct NodeLeaf {
  std::string authority_id;
  absl::Time not_after;
  bool own = false;  // the agent's own; in place of the one before once a stream shows it
};

// One agent, for people.
struct AgentView {
  std::string node;
  bool connected = false;
  std::string version;
  std::string peer;
  absl::Time last_seen;
  TrustVersion trust_version = 0;  // that everybody on the node holds
  uint64_t consumers = 0;
  uint64_t behind = 0;
  uint64_t certificates = 0;
  uint64_t displaced = 0;  // how many times another agent of the node took its place
  absl::Time displaced_at = absl::InfinitePast();
};

struct AgentStats {
  uint64_t known = 0;
  uint64_t connected = 0;
  uint64_t consumers = 0;
  uint64_t behind = 0;
  uint64_t displaced = 0;  // streams that another of the same node took the place of, since start
};

// Each agent is one SubscriberRecord, "agent:NODE", and while it is attached there is one more for every further
// authority that its node holds certificates under, and for every consumer that it names as behind
// ("agent:NODE/PID/path"), so that a rotation waits for exactly those and names them. Where not all that are behind are
// named, the agent itself counts as its slowest consumer.
//
// What an agent reports can hold a rotation up, and make it go on only past its own node: versions count up to what the
// CA has published, certificates whose authority is not told count as stale ones, and a certificate that was issued
// moments ago counts until a report can have known of it. An agent whose process is new speaks for consumers that have
// not come back yet: for kComeBack what was remembered counts beside what it reports.
//
// The agent's own certificate is the one that its stream showed. One that was issued since counts beside it until a
// stream shows that one: the answer may be lost, or the agent unable to keep it.
//
// An agent that left is remembered, with the least that its node held, until its node's certificates have ended.
//
// A consumer that was evicted counts for nothing until its agent, which has to know better by then, names it as behind
// no more: it has acknowledged, or is gone. That is remembered beside its agent, by a row of its own.
//
// Nothing is computed for an agent of which nothing is heard but heartbeats: what has to be looked at is noted where it
// arises, and by the time at which it will.
//
// A value with one owner: no lock, no clock.
class AgentLedger {
 public:
  static constexpr absl::Duration kComeBack = SubscriberInstance::kComeBack;
  // So many heartbeats may be missed before an agent counts as gone.
  static constexpr int kHeartbeatsMissed = 3;

  explicit AgentLedger(absl::Duration heartbeat);
  ~AgentLedger();

  // So many evictions of consumers are remembered for a node; more are not made.
  static constexpr size_t kEvictedConsumersMax = 1000;

  // Takes in the rows of the last run; those of other kinds are passed over. Before anything else.
  void Restore(std::vector<SubscriberRecord> rows);

  // The newest version of what is trusted that was published.
  void SetTrust(TrustVersion published);

  struct Attachment {
    AgentStreamId stream = AgentStreamId::kNone;
    AgentStreamId displaced = AgentStreamId::kNone;  // the stream that the node had; it counts no more
  };
  // If the agent was evicted it counts again, as one that holds nothing.
  Attachment Attach(const ArrivedAgent& agent, const Moment& now);
  // False: the stream is not (any more) the one of its node, and what it says does not count.
  bool Report(AgentStreamId stream, HeldReport report, const Moment& now);
  void Leave(AgentStreamId stream, const Moment& now);
  // A node that never attached is passed over: its certificates count one by one.
  void Issued(absl::string_view node, const NodeLeaf& leaf, const Moment& now);

  // Streams that missed too many heartbeats.
  std::vector<AgentStreamId> FindSilent(absl::Duration since_boot) const;

  // Forgets the node: everything that it holds was taken back. Its stream, which is to be ended; kNone: it had none.
  AgentStreamId Forget(absl::string_view node);
  // Forgets agents that left and whose certificates ended more than `skew` before `now`, a believed time.
  void ForgetEnded(absl::Time now, absl::Duration skew);

  struct Evictions {
    std::vector<SubscriberRecord> records;  // as they are afterwards
    std::vector<AgentStreamId> streams;     // to be ended
    std::vector<std::string> nodes;         // whose rows changed
  };
  // Whom no rotation is to wait for. An agent counts again when it attaches. A consumer counts again once its agent has
  // stopped to name it as behind: where all that are behind are named, and a new process of the agent has heard of its
  // consumers again (kComeBack).
  Evictions Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now);
  // What was evicted at that time on a node, and did not become durable.
  void TakeBackEviction(const std::string& node, absl::Time evicted_at);

  // Who among those attached holds certificates under authorities that are `stale`.
  struct Stale {
    AgentStreamId stream = AgentStreamId::kNone;
    uint64_t certificates = 0;               // of workloads
    std::vector<std::string> authority_ids;  // theirs
    bool own = false;                        // the agent's own is one: it shows it, or may have it and not show it yet
  };
  std::vector<Stale> FindStale(absl::FunctionRef<bool(absl::string_view authority_id)> stale) const;

  // All records, in any order.
  std::vector<SubscriberRecord> List(absl::Duration since_boot) const;
  std::optional<AgentView> Find(absl::string_view node, absl::Duration since_boot) const;
  AgentStats Stats() const;
  // The stream that the node has; kNone: none.
  AgentStreamId StreamOf(absl::string_view node) const;
  // Of the agent whose stream it is; "" where it has ended.
  std::string SpiffeIdOf(AgentStreamId stream) const;

  // Rows that are to be saved: of those who came, left or were evicted since the last call. `reported`: also of those
  // whose reports changed what they hold.
  std::vector<SubscriberRecord> TakeChanges(bool reported, absl::Duration since_boot);
  bool HasChanges() const { return !changed_.empty(); }
  // Instances whose rows are to be deleted: of those forgotten since the last call. In memory nothing is left of them.
  std::vector<std::string> TakeForgotten() { return std::exchange(forgotten_, {}); }
  // These could not be saved: they are among the changes again.
  void ChangeAgain(const std::vector<SubscriberRecord>& rows);

 private:
  // One that is open. Once a second all of them are looked at for silence: they lie side by side.
  struct Stream {
    KnownAgent* agent;
    absl::Duration heard_at;
  };

  void Change(KnownAgent& agent);
  // Something was heard of the agent by which its row may be another one than was saved.
  void MayDiffer(KnownAgent& agent);
  // ForgetEnded is to look at it.
  void NoteEnd(KnownAgent& agent);
  static void ForgetReported(KnownAgent& agent);
  // By the agent's report: evictions of consumers that are behind no more end.
  void EndEvictions(KnownAgent& agent, absl::Duration since_boot);
  SavedHolding SavedOf(const SubscriberRecord& row);
  void Take(KnownAgent& agent, absl::Duration since_boot, std::vector<SubscriberRecord>& rows);
  void TakeEvictions(KnownAgent& agent, std::vector<SubscriberRecord>& rows);
  void AddForgotten(const KnownAgent& agent);

  const absl::Duration heartbeat_;
  TrustVersion published_ = 0;
  uint64_t last_stream_ = 0;
  AuthorityIds ids_;                                                      // those of all agents
  absl::flat_hash_map<std::string, std::unique_ptr<KnownAgent>> agents_;  // by node
  absl::flat_hash_map<AgentStreamId, Stream> streams_;
  // Nodes by what is to be done about their rows; some may be forgotten by now.
  std::vector<std::string> changed_;     // to be saved, each once
  std::vector<std::string> may_differ_;  // to be looked at, each once
  bool all_may_differ_ = false;
  absl::btree_set<std::pair<absl::Duration, std::string>> by_time_;  // to be looked at then: KnownAgent::differs_at
  absl::btree_set<std::pair<absl::Time, std::string>> ends_;         // their certificates end then: ForgetEnded
  std::vector<std::string> forgotten_;                               // TakeForgotten
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_AGENT_LEDGER_H_
