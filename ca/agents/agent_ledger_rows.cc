// AgentLedger's rows: which are to be saved and which to be deleted, without a look at agents of which nothing is new.
#include <memory>
#include <utility>

#include "ca/agents/agent_ledger.h"

namespace meshca {

void AgentLedger::Restore(std::vector<SubscriberRecord> rows) {
  std::vector<SubscriberRecord> consumers;
  for (SubscriberRecord& row : rows) {
    if (row.kind == kAgentConsumerKind) consumers.push_back(row);
    if (row.kind != kAgentKind) continue;
    auto agent = std::make_unique<KnownAgent>();
    row.connected = false;
    agent->saved = SavedOf(row);
    agent->row = std::move(row);
    std::unique_ptr<KnownAgent>& slot = agents_[agent->row.node];
    slot = std::move(agent);
    NoteEnd(*slot);
  }
  for (SubscriberRecord& row : consumers) {
    const auto found = agents_.find(row.node);
    if (found == agents_.end() || found->second->evicted_consumers.size() >= kEvictedConsumersMax) {
      forgotten_.push_back(row.instance);
      continue;
    }
    std::string instance = row.instance;
    found->second->evicted_consumers.emplace(std::move(instance), KnownAgent::EvictedConsumer{std::move(row), true});
  }
}

SavedHolding AgentLedger::SavedOf(const SubscriberRecord& row) {
  return {row.trust_version, ids_.Of(row.authority_id), row.takes_key, row.certificate_expires};
}

void AgentLedger::Change(KnownAgent& agent) {
  if (std::exchange(agent.changed, true)) return;
  changed_.push_back(agent.row.node);
}

void AgentLedger::MayDiffer(KnownAgent& agent) {
  if (std::exchange(agent.may_differ, true)) return;
  may_differ_.push_back(agent.row.node);
}

void AgentLedger::NoteEnd(KnownAgent& agent) {
  if (std::exchange(agent.end_noted, true)) return;
  ends_.emplace(agent.row.certificate_expires, agent.row.node);
}

void AgentLedger::SetTrust(TrustVersion published) {
  // Agents may have reported more than there was, which counts up to what there is.
  all_may_differ_ |= published_ != published;
  published_ = published;
}

void AgentLedger::Take(KnownAgent& agent, absl::Duration since_boot, std::vector<SubscriberRecord>& rows) {
  TakeEvictions(agent, rows);
  agent.may_differ = false;
  SubscriberRecord row = agent.row.IsEvicted() ? agent.row : RowOf(agent, published_, since_boot);
  const absl::Duration next = ChangesByTimeAt(agent, since_boot);
  if (next < agent.differs_at) {
    by_time_.erase({agent.differs_at, agent.row.node});
    agent.differs_at = next;
    by_time_.emplace(next, agent.row.node);
  }
  SavedHolding saved = SavedOf(row);
  if (!std::exchange(agent.changed, false) && agent.saved == saved) return;
  agent.saved = std::move(saved);
  rows.push_back(std::move(row));
}

std::vector<SubscriberRecord> AgentLedger::TakeChanges(bool reported, absl::Duration since_boot) {
  std::vector<SubscriberRecord> rows;
  const auto take = [&](const std::string& node) {
    if (const auto found = agents_.find(node); found != agents_.end()) Take(*found->second, since_boot, rows);
  };
  for (const std::string& node : std::exchange(changed_, {})) take(node);
  if (!reported) return rows;
  while (!by_time_.empty() && by_time_.begin()->first <= since_boot) {
    const auto [at, node] = *by_time_.begin();
    by_time_.erase(by_time_.begin());
    const auto found = agents_.find(node);
    if (found == agents_.end()) continue;
    found->second->differs_at = absl::InfiniteDuration();
    MayDiffer(*found->second);
  }
  for (const std::string& node : std::exchange(may_differ_, {})) take(node);
  if (std::exchange(all_may_differ_, false)) {
    for (auto& [node, agent] : agents_) Take(*agent, since_boot, rows);
  }
  return rows;
}

void AgentLedger::TakeEvictions(KnownAgent& agent, std::vector<SubscriberRecord>& rows) {
  for (auto& [instance, evicted] : agent.evicted_consumers) {
    if (!std::exchange(evicted.saved, true)) rows.push_back(evicted.row);
  }
}

void AgentLedger::ChangeAgain(const std::vector<SubscriberRecord>& rows) {
  for (const SubscriberRecord& row : rows) {
    const auto found = agents_.find(row.node);
    if (found == agents_.end()) continue;
    Change(*found->second);
    const auto evicted = found->second->evicted_consumers.find(row.instance);
    if (evicted != found->second->evicted_consumers.end()) evicted->second.saved = false;
  }
}

AgentStreamId AgentLedger::Forget(absl::string_view node) {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return AgentStreamId::kNone;
  const AgentStreamId stream = found->second->stream;
  AddForgotten(*found->second);
  streams_.erase(stream);
  agents_.erase(found);
  return stream;
}

void AgentLedger::ForgetEnded(absl::Time now, absl::Duration skew) {
  while (!ends_.empty() && ends_.begin()->first + skew <= now) {
    const auto found = agents_.find(ends_.begin()->second);
    ends_.erase(ends_.begin());
    if (found == agents_.end()) continue;
    KnownAgent& agent = *found->second;
    agent.end_noted = false;
    // It is noted again when it leaves.
    if (agent.attached()) continue;
    // A certificate was issued for it after it had left.
    if (agent.row.certificate_expires + skew > now) {
      NoteEnd(agent);
      continue;
    }
    AddForgotten(agent);
    agents_.erase(found);
  }
}

void AgentLedger::AddForgotten(const KnownAgent& agent) {
  forgotten_.push_back(agent.row.instance);
  for (const auto& [instance, evicted] : agent.evicted_consumers) forgotten_.push_back(instance);
}

}  // namespace meshca
