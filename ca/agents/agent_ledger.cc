#include "ca/agents/agent_ledger.h"

#include <algorithm>
#include <utility>

#include "ca/agents/agent_instance.h"

namespace meshca {

AgentLedger::AgentLedger(absl::Duration heartbeat) : heartbeat_(heartbeat) {}
AgentLedger::~AgentLedger() = default;

AgentLedger::Attachment AgentLedger::Attach(const ArrivedAgent& info, const Moment& now) {
  Attachment attachment;
  std::unique_ptr<KnownAgent>& slot = agents_[info.node];
  const bool known = slot != nullptr;
  if (!known) {
    slot = std::make_unique<KnownAgent>();
    slot->row.instance = AgentInstance(info.node);
    slot->row.kind = std::string(kAgentKind);
    slot->row.node = info.node;
    slot->row.first_seen = now.time;
  }
  KnownAgent& agent = *slot;
  if (agent.attached()) {
    attachment.displaced = agent.stream;
    Leave(agent.stream, now);
    ++agent.row.displaced;
    agent.row.displaced_at = now.time;
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
  agent.version = info.version;
  agent.own_authority_id = info.authority_id.empty() ? nullptr : ids_.Of(info.authority_id);
  // What is shown is the newest that it has. Where that is none of those issued meanwhile, they are still under way.
  const bool shows_issued =
      std::any_of(agent.own_issued.begin(), agent.own_issued.end(),
                  [&](const KnownAgent::OwnIssued& issued) { return issued.authority_id == agent.own_authority_id; });
  if (shows_issued) agent.own_issued.clear();
  agent.report.reset();
  agent.comes_back_until = known && info.fresh_process ? now.since_boot + kComeBack : absl::ZeroDuration();
  agent.stream = AgentStreamId{++last_stream_};
  Change(agent);
  streams_.emplace(agent.stream, Stream{&agent, now.since_boot});
  attachment.stream = agent.stream;
  return attachment;
}

bool AgentLedger::Report(AgentStreamId stream, HeldReport report, const Moment& now) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second.agent->row.IsEvicted()) return false;
  found->second.heard_at = now.since_boot;
  KnownAgent& agent = *found->second.agent;
  agent.reported_at = now.since_boot;
  agent.row.last_seen = now.time;
  // Nothing but a heartbeat: nobody has to look at the agent.
  const bool news = agent.report != report;
  if (news) agent.report = std::move(report);
  if (news || !agent.issued.empty()) MayDiffer(agent);
  ForgetReported(agent);
  EndEvictions(agent, now.since_boot);
  return true;
}

// Those that the report knows of count by what it says of them from now on.
void AgentLedger::ForgetReported(KnownAgent& agent) {
  std::erase_if(agent.issued,
                [&](const KnownAgent::Recent& recent) { return recent.at + kReportLag <= agent.reported_at; });
}

void AgentLedger::Leave(AgentStreamId stream, const Moment& now) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  KnownAgent* const agent = found->second.agent;
  streams_.erase(found);
  agent->row = RowOf(*agent, published_, now.since_boot);
  agent->row.connected = false;
  agent->row.last_seen = now.time;
  agent->stream = AgentStreamId::kNone;
  agent->report.reset();
  agent->issued.clear();
  // The row has it from here on.
  agent->own_authority_id = nullptr;
  Change(*agent);
  NoteEnd(*agent);
}

void AgentLedger::Issued(absl::string_view node, const NodeLeaf& leaf, const Moment& now) {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return;
  KnownAgent& agent = *found->second;
  agent.row.certificate_expires = std::max(agent.row.certificate_expires, leaf.not_after);
  MayDiffer(agent);
  AuthorityIds::Id authority_id = ids_.Of(leaf.authority_id);
  if (leaf.own) {
    std::vector<KnownAgent::OwnIssued>& issued = agent.own_issued;
    issued.erase(std::remove_if(issued.begin(), issued.end(),
                                [&](const KnownAgent::OwnIssued& one) { return one.authority_id == authority_id; }),
                 issued.end());
    if (issued.size() >= HeldReport::kUnderMax) issued.erase(issued.begin());
    issued.push_back({std::move(authority_id), now.since_boot + (leaf.not_after - now.time)});
    return;
  }
  const auto known = std::find_if(agent.issued.begin(), agent.issued.end(), [&](const KnownAgent::Recent& recent) {
    return recent.authority_id == authority_id;
  });
  if (known != agent.issued.end()) {
    known->at = now.since_boot;
    return;
  }
  // One authority signs at a time: more than a few are those of long ago.
  if (agent.issued.size() >= HeldReport::kUnderMax) agent.issued.erase(agent.issued.begin());
  agent.issued.push_back({std::move(authority_id), now.since_boot});
}

std::vector<AgentStreamId> AgentLedger::FindSilent(absl::Duration since_boot) const {
  std::vector<AgentStreamId> silent;
  const absl::Duration heard_before = since_boot - heartbeat_ * kHeartbeatsMissed;
  for (const auto& [stream, state] : streams_) {
    if (state.heard_at <= heard_before) silent.push_back(stream);
  }
  return silent;
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
    one.own = agent->own_authority_id != nullptr && is_stale(*agent->own_authority_id);
    // One that was issued and is not shown: once the agent has a newer one, and shows that, it counts no more.
    for (const KnownAgent::OwnIssued& issued : agent->own_issued) one.own |= is_stale(*issued.authority_id);
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

std::vector<SubscriberRecord> AgentLedger::List(absl::Duration since_boot) const {
  std::vector<SubscriberRecord> records;
  records.reserve(agents_.size());
  for (const auto& [node, agent] : agents_) AddRecords(*agent, published_, since_boot, records);
  return records;
}

std::optional<AgentView> AgentLedger::Find(absl::string_view node, absl::Duration since_boot) const {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return std::nullopt;
  const KnownAgent& agent = *found->second;
  AgentView view;
  view.node = agent.row.node;
  view.connected = agent.attached();
  view.version = agent.version;
  view.peer = agent.row.peer;
  view.last_seen = agent.row.last_seen;
  view.trust_version = RowOf(agent, published_, since_boot).trust_version;
  view.displaced = agent.row.displaced;
  view.displaced_at = agent.row.displaced_at;
  if (agent.report.has_value()) {
    view.consumers = agent.report->consumers;
    view.behind = agent.report->behind;
    view.certificates = agent.report->certificates;
  }
  return view;
}

AgentStreamId AgentLedger::StreamOf(absl::string_view node) const {
  const auto found = agents_.find(node);
  return found == agents_.end() ? AgentStreamId::kNone : found->second->stream;
}

std::string AgentLedger::SpiffeIdOf(AgentStreamId stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? "" : found->second.agent->row.spiffe_id;
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

}  // namespace meshca
