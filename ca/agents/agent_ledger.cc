#include "ca/agents/agent_ledger.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {
namespace {

constexpr absl::string_view kInstancePrefix = "agent:";

void AddOnce(std::string authority_id, std::vector<std::string>& authorities) {
  if (std::find(authorities.begin(), authorities.end(), authority_id) != authorities.end()) return;
  authorities.push_back(std::move(authority_id));
}

uint64_t Accounted(const HeldReport& report) {
  uint64_t certificates = 0;
  for (const HeldUnder& under : report.under) certificates += under.certificates;
  return certificates;
}

// "agent:web-1/4242/ns/default/sa/web".
std::string ConsumerInstance(absl::string_view node, const BehindConsumer& consumer) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(consumer.spiffe_id);
  return absl::StrCat(AgentInstance(node), "/", consumer.pid, id.ok() ? id->path() : "");
}

// Its record is not one of the agent itself.
bool IsConsumer(absl::string_view node, const SubscriberRecord& record) {
  absl::string_view rest = record.instance;
  return absl::ConsumePrefix(&rest, absl::StrCat(AgentInstance(node), "/")) && !rest.empty() &&
         absl::ascii_isdigit(static_cast<unsigned char>(rest.front()));
}

std::string ConsumerText(const BehindConsumer& consumer) {
  return absl::StrCat("pid ", consumer.pid, consumer.program.empty() ? "" : " ", consumer.program,
                      consumer.delivered ? ", delivered and never acknowledged" : "");
}

}  // namespace

std::string AgentInstance(absl::string_view node) { return absl::StrCat(kInstancePrefix, node); }

struct AgentLedger::Agent {
  // What is remembered: of an agent that is attached as it was when its stream began, otherwise as it is. Its trust
  // version is the least that the node held, its authority the one of all certificates, or "" where there are several.
  SubscriberRecord row;
  ArrivedAgent info;  // of the stream, or of the last one
  AgentStreamId stream = AgentStreamId::kNone;
  std::optional<HeldReport> report;  // the stream's last
  absl::Duration heard_at;           // when the stream said something last
  absl::Duration reported_at;
  absl::Duration comes_back_until;  // until when `row` counts beside the reports
  std::string own_authority_id;     // of the certificate that the stream showed
  // Of those that were issued for the agent itself and that no stream has shown yet. It may never get them, or not use
  // them (a lost answer, a full disk), and it may do so at any time until they end. Each authority once.
  struct OwnIssued {
    std::string authority_id;
    absl::Duration until;  // since boot
  };
  std::vector<OwnIssued> own_issued;
  struct Recent {
    std::string authority_id;
    absl::Duration at;
  };
  std::vector<Recent> issued;  // the newest certificate under each of a few authorities
  absl::flat_hash_set<std::string> evicted_consumers;
  bool changed = false;                   // its row is to be saved
  std::optional<SubscriberRecord> taken;  // as it was saved last

  bool attached() const { return stream != AgentStreamId::kNone; }
};

// What a node holds, as it counts.
struct AgentLedger::Holding {
  TrustVersion agent = 0;                // whoever is not listed under a name of its own
  TrustVersion least = 0;                // everybody
  std::vector<std::string> authorities;  // each once, the agent's own first; "": certificates of unknown ones
};

AgentLedger::AgentLedger(absl::Duration heartbeat) : heartbeat_(heartbeat) {}
AgentLedger::~AgentLedger() = default;

void AgentLedger::Change(Agent& agent) {
  if (std::exchange(agent.changed, true)) return;
  changed_.push_back(agent.row.node);
}

AgentLedger::Holding AgentLedger::HoldingOf(const Agent& agent, absl::Duration since_boot) const {
  Holding holding;
  if (!agent.own_authority_id.empty()) holding.authorities.push_back(agent.own_authority_id);
  for (const Agent::OwnIssued& issued : agent.own_issued) {
    if (since_boot < issued.until) AddOnce(issued.authority_id, holding.authorities);
  }
  const bool remembered = !agent.attached() || !agent.report.has_value() || since_boot < agent.comes_back_until;
  if (agent.attached() && agent.report.has_value()) {
    const HeldReport& report = *agent.report;
    const TrustVersion own = std::min(report.own_trust_version, published_);
    const TrustVersion slowest = report.consumers == 0 ? own : std::min(report.trust_version, published_);
    const bool all_named = report.behind <= report.behind_first.size();
    holding.agent = all_named ? own : std::min(own, slowest);
    holding.least = std::min(own, slowest);
    for (const BehindConsumer& consumer : report.behind_first) {
      holding.least = std::min(holding.least, consumer.trust_version);
    }
    for (const HeldUnder& under : report.under) {
      if (under.certificates > 0) AddOnce(under.authority_id, holding.authorities);
    }
    if (Accounted(report) < report.certificates) AddOnce("", holding.authorities);
    for (const Agent::Recent& recent : agent.issued) {
      if (recent.at + kReportLag > agent.reported_at) AddOnce(recent.authority_id, holding.authorities);
    }
    if (remembered) {
      holding.agent = std::min(holding.agent, agent.row.trust_version);
      holding.least = std::min(holding.least, agent.row.trust_version);
    }
  } else {
    holding.agent = agent.row.trust_version;
    holding.least = agent.row.trust_version;
    for (const Agent::Recent& recent : agent.issued) AddOnce(recent.authority_id, holding.authorities);
  }
  if (remembered && agent.row.takes_key) AddOnce(agent.row.authority_id, holding.authorities);
  return holding;
}

SubscriberRecord AgentLedger::RowOf(const Agent& agent, absl::Duration since_boot) const {
  const Holding holding = HoldingOf(agent, since_boot);
  SubscriberRecord row = agent.row;
  row.trust_version = holding.least;
  row.takes_bundle = true;
  row.takes_jwt_keys = true;
  row.takes_key = !holding.authorities.empty();
  row.authority_id = holding.authorities.size() == 1 ? holding.authorities.front() : "";
  return row;
}

void AgentLedger::Restore(std::vector<SubscriberRecord> rows) {
  for (SubscriberRecord& row : rows) {
    if (row.kind != kAgentKind) continue;
    auto agent = std::make_unique<Agent>();
    row.connected = false;
    agent->info.node = row.node;
    agent->info.spiffe_id = row.spiffe_id;
    agent->info.peer = row.peer;
    agent->taken = row;
    agent->row = std::move(row);
    std::string node = agent->row.node;
    agents_.insert_or_assign(std::move(node), std::move(agent));
  }
}

AgentLedger::Agent* AgentLedger::FindByStream(AgentStreamId stream) const {
  const auto node = streams_.find(stream);
  if (node == streams_.end()) return nullptr;
  const auto agent = agents_.find(node->second);
  return agent == agents_.end() ? nullptr : agent->second.get();
}

AgentLedger::Attachment AgentLedger::Attach(const ArrivedAgent& info, const Moment& now) {
  Attachment attachment;
  std::unique_ptr<Agent>& slot = agents_[info.node];
  const bool known = slot != nullptr;
  if (!known) {
    slot = std::make_unique<Agent>();
    slot->row.instance = AgentInstance(info.node);
    slot->row.kind = std::string(kAgentKind);
    slot->row.node = info.node;
    slot->row.first_seen = now.time;
  }
  Agent& agent = *slot;
  if (agent.attached()) {
    attachment.displaced = agent.stream;
    Leave(agent.stream, now);
  }
  SubscriberRecord& row = agent.row;
  if (row.IsEvicted()) {
    row.evicted_at = absl::InfiniteFuture();
    row.trust_version = 0;
    row.takes_key = false;
  }
  row.spiffe_id = info.spiffe_id;
  row.peer = info.peer;
  row.connected = true;
  row.last_seen = now.time;
  row.takes_bundle = true;
  row.takes_jwt_keys = true;
  row.certificate_expires = std::max(row.certificate_expires, info.not_after);
  agent.info = info;
  agent.own_authority_id = info.authority_id;
  // What is shown is the newest that it has. Where that is none of those issued meanwhile, they are still under way.
  const bool shows_issued =
      std::any_of(agent.own_issued.begin(), agent.own_issued.end(),
                  [&](const Agent::OwnIssued& issued) { return issued.authority_id == info.authority_id; });
  if (shows_issued) agent.own_issued.clear();
  agent.report.reset();
  agent.heard_at = now.since_boot;
  agent.comes_back_until = known && info.fresh_process ? now.since_boot + kComeBack : absl::ZeroDuration();
  agent.stream = AgentStreamId{++last_stream_};
  Change(agent);
  streams_.emplace(agent.stream, info.node);
  attachment.stream = agent.stream;
  return attachment;
}

bool AgentLedger::Report(AgentStreamId stream, HeldReport report, const Moment& now) {
  Agent* const agent = FindByStream(stream);
  if (agent == nullptr || agent->row.IsEvicted()) return false;
  agent->heard_at = now.since_boot;
  agent->reported_at = now.since_boot;
  agent->row.last_seen = now.time;
  if (!agent->evicted_consumers.empty()) {
    absl::flat_hash_set<std::string> named;
    for (const BehindConsumer& consumer : report.behind_first) {
      named.insert(ConsumerInstance(agent->row.node, consumer));
    }
    absl::erase_if(agent->evicted_consumers, [&named](const std::string& name) { return !named.contains(name); });
  }
  agent->report = std::move(report);
  return true;
}

void AgentLedger::Leave(AgentStreamId stream, const Moment& now) {
  Agent* const agent = FindByStream(stream);
  streams_.erase(stream);
  if (agent == nullptr || agent->stream != stream) return;
  agent->row = RowOf(*agent, now.since_boot);
  agent->row.connected = false;
  agent->row.last_seen = now.time;
  agent->stream = AgentStreamId::kNone;
  agent->report.reset();
  agent->issued.clear();
  agent->evicted_consumers.clear();
  // The row has it from here on.
  agent->own_authority_id.clear();
  Change(*agent);
}

void AgentLedger::Issued(absl::string_view node, const NodeLeaf& leaf, const Moment& now) {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return;
  Agent& agent = *found->second;
  agent.row.certificate_expires = std::max(agent.row.certificate_expires, leaf.not_after);
  if (leaf.own) {
    std::vector<Agent::OwnIssued>& issued = agent.own_issued;
    issued.erase(std::remove_if(issued.begin(), issued.end(),
                                [&](const Agent::OwnIssued& one) { return one.authority_id == leaf.authority_id; }),
                 issued.end());
    if (issued.size() >= HeldReport::kUnderMax) issued.erase(issued.begin());
    issued.push_back({leaf.authority_id, now.since_boot + (leaf.not_after - now.time)});
    return;
  }
  const auto known = std::find_if(agent.issued.begin(), agent.issued.end(), [&](const Agent::Recent& recent) {
    return recent.authority_id == leaf.authority_id;
  });
  if (known != agent.issued.end()) {
    known->at = now.since_boot;
    return;
  }
  // One authority signs at a time: more than a few are those of long ago.
  if (agent.issued.size() >= HeldReport::kUnderMax) agent.issued.erase(agent.issued.begin());
  agent.issued.push_back({leaf.authority_id, now.since_boot});
}

std::vector<AgentStreamId> AgentLedger::FindSilent(absl::Duration since_boot) const {
  std::vector<AgentStreamId> silent;
  for (const auto& [node, agent] : agents_) {
    if (agent->attached() && agent->heard_at + heartbeat_ * kHeartbeatsMissed <= since_boot) {
      silent.push_back(agent->stream);
    }
  }
  return silent;
}

AgentStreamId AgentLedger::Forget(absl::string_view node) {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return AgentStreamId::kNone;
  const AgentStreamId stream = found->second->stream;
  streams_.erase(stream);
  agents_.erase(found);
  return stream;
}

std::vector<std::string> AgentLedger::ForgetEnded(absl::Time now, absl::Duration skew) {
  std::vector<std::string> forgotten;
  absl::erase_if(agents_, [&](const auto& one) {
    const Agent& agent = *one.second;
    if (agent.attached() || agent.row.certificate_expires + skew > now) return false;
    forgotten.push_back(agent.row.instance);
    return true;
  });
  return forgotten;
}

AgentLedger::Evictions AgentLedger::Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now) {
  Evictions evictions;
  for (auto& [node, agent] : agents_) {
    if (agent->row.IsEvicted()) continue;
    std::vector<SubscriberRecord> records;
    AddRecords(*agent, now.since_boot, records);
    bool whole = false;
    for (SubscriberRecord& record : records) {
      if (!chosen(record)) continue;
      if (!IsConsumer(node, record)) {
        whole = true;
        continue;
      }
      agent->evicted_consumers.insert(record.instance);
      record.evicted_at = now.time;
      evictions.records.push_back(std::move(record));
    }
    if (!whole) continue;
    if (agent->attached()) evictions.streams.push_back(agent->stream);
    agent->row = RowOf(*agent, now.since_boot);
    agent->row.evicted_at = now.time;
    Change(*agent);
    evictions.records.push_back(agent->row);
    evictions.nodes.push_back(node);
  }
  return evictions;
}

void AgentLedger::TakeBackEviction(const std::string& node, absl::Time evicted_at) {
  const auto found = agents_.find(node);
  if (found == agents_.end() || found->second->row.evicted_at != evicted_at) return;
  SubscriberRecord& row = found->second->row;
  row.evicted_at = absl::InfiniteFuture();
  row.trust_version = 0;
}

std::vector<AgentLedger::Stale> AgentLedger::FindStale(absl::FunctionRef<bool(absl::string_view)> stale) const {
  // A handful of authorities for any number of agents.
  absl::flat_hash_map<std::string, bool> verdicts;
  const auto is_stale = [&](const std::string& authority_id) {
    const auto [verdict, is_new] = verdicts.try_emplace(authority_id, false);
    if (is_new) verdict->second = stale(authority_id);
    return verdict->second;
  };
  std::vector<Stale> found;
  for (const auto& [node, agent] : agents_) {
    if (!agent->attached() || agent->row.IsEvicted()) continue;
    Stale one;
    one.stream = agent->stream;
    one.own = !agent->own_authority_id.empty() && is_stale(agent->own_authority_id);
    // One that was issued and is not shown: once the agent has a newer one, and shows that, it counts no more.
    for (const Agent::OwnIssued& issued : agent->own_issued) one.own |= is_stale(issued.authority_id);
    if (agent->report.has_value()) {
      for (const HeldUnder& under : agent->report->under) {
        if (under.certificates == 0 || !is_stale(under.authority_id)) continue;
        one.certificates += under.certificates;
        one.authority_ids.push_back(under.authority_id);
      }
    }
    if (one.own || one.certificates > 0) found.push_back(std::move(one));
  }
  return found;
}

void AgentLedger::AddRecords(const Agent& agent, absl::Duration since_boot,
                             std::vector<SubscriberRecord>& records) const {
  if (!agent.attached() || agent.row.IsEvicted()) {
    records.push_back(agent.row.IsEvicted() ? agent.row : RowOf(agent, since_boot));
    return;
  }
  const Holding holding = HoldingOf(agent, since_boot);
  SubscriberRecord own = agent.row;
  own.trust_version = holding.agent;
  own.takes_key = !holding.authorities.empty();
  own.authority_id = holding.authorities.empty() ? "" : holding.authorities.front();
  records.push_back(own);
  for (size_t i = 1; i < holding.authorities.size(); ++i) {
    SubscriberRecord more = own;
    const std::string& authority_id = holding.authorities[i];
    more.authority_id = authority_id;
    more.instance =
        absl::StrCat(own.instance, "/under/", authority_id.empty() ? "unknown" : authority_id.substr(0, 16));
    records.push_back(std::move(more));
  }
  if (!agent.report.has_value()) return;
  for (const BehindConsumer& consumer : agent.report->behind_first) {
    SubscriberRecord behind;
    behind.instance = ConsumerInstance(agent.row.node, consumer);
    if (agent.evicted_consumers.contains(behind.instance)) continue;
    behind.spiffe_id = consumer.spiffe_id;
    behind.node = agent.row.node;
    behind.kind = std::string(kAgentKind);
    behind.peer = ConsumerText(consumer);
    behind.connected = true;
    behind.first_seen = consumer.since;
    behind.last_seen = agent.row.last_seen;
    behind.trust_version = std::min(consumer.trust_version, published_);
    behind.takes_bundle = true;
    behind.takes_jwt_keys = true;
    records.push_back(std::move(behind));
  }
}

std::vector<SubscriberRecord> AgentLedger::List(absl::Duration since_boot) const {
  std::vector<SubscriberRecord> records;
  records.reserve(agents_.size());
  for (const auto& [node, agent] : agents_) AddRecords(*agent, since_boot, records);
  return records;
}

std::optional<AgentView> AgentLedger::Find(absl::string_view node, absl::Duration since_boot) const {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return std::nullopt;
  const Agent& agent = *found->second;
  AgentView view;
  view.node = agent.row.node;
  view.connected = agent.attached();
  view.version = agent.info.version;
  view.peer = agent.row.peer;
  view.last_seen = agent.row.last_seen;
  view.trust_version = RowOf(agent, since_boot).trust_version;
  if (agent.report.has_value()) {
    view.consumers = agent.report->consumers;
    view.behind = agent.report->behind;
    view.certificates = agent.report->certificates;
  }
  return view;
}

std::string AgentLedger::SpiffeIdOf(absl::string_view node) const {
  const auto found = agents_.find(node);
  return found == agents_.end() ? "" : found->second->row.spiffe_id;
}

AgentStats AgentLedger::Stats() const {
  AgentStats stats;
  stats.known = agents_.size();
  for (const auto& [node, agent] : agents_) {
    if (!agent->attached()) continue;
    ++stats.connected;
    if (!agent->report.has_value()) continue;
    stats.consumers += agent->report->consumers;
    stats.behind += agent->report->behind;
  }
  return stats;
}

std::vector<SubscriberRecord> AgentLedger::TakeChanges(bool reported, absl::Duration since_boot) {
  std::vector<SubscriberRecord> rows;
  const auto take = [&](Agent& agent) {
    SubscriberRecord row = agent.row.IsEvicted() ? agent.row : RowOf(agent, since_boot);
    const bool differs = !agent.taken.has_value() || agent.taken->trust_version != row.trust_version ||
                         agent.taken->authority_id != row.authority_id || agent.taken->takes_key != row.takes_key ||
                         agent.taken->certificate_expires != row.certificate_expires;
    if (!std::exchange(agent.changed, false) && !differs) return;
    agent.taken = row;
    rows.push_back(std::move(row));
  };
  if (reported) {
    for (auto& [node, agent] : agents_) take(*agent);
  } else {
    for (const std::string& node : changed_) {
      if (const auto found = agents_.find(node); found != agents_.end()) take(*found->second);
    }
  }
  changed_.clear();
  return rows;
}

void AgentLedger::ChangeAgain(const std::vector<SubscriberRecord>& rows) {
  for (const SubscriberRecord& row : rows) {
    const auto found = agents_.find(row.node);
    if (found != agents_.end()) Change(*found->second);
  }
}

}  // namespace meshca
