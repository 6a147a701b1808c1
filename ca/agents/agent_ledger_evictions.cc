// AgentLedger's evictions: whom no rotation waits for, and until when.
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "ca/agents/agent_instance.h"
#include "ca/agents/agent_ledger.h"

namespace meshca {

AgentLedger::Evictions AgentLedger::Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now) {
  Evictions evictions;
  for (auto& [node, agent] : agents_) {
    if (agent->row.IsEvicted()) continue;
    std::vector<SubscriberRecord> records;
    AddRecords(*agent, published_, now.since_boot, records);
    bool whole = false;
    for (SubscriberRecord& record : records) {
      if (record.IsEvicted() || !chosen(record)) continue;
      if (!IsConsumerRecord(node, record)) {
        whole = true;
        continue;
      }
      if (agent->evicted_consumers.size() >= kEvictedConsumersMax) continue;
      record.evicted_at = now.time;
      SubscriberRecord& row = agent->evicted_consumers[record.instance].row;
      std::erase(forgotten_, record.instance);  // of an eviction before that has ended
      row = record;
      row.kind = std::string(kAgentConsumerKind);
      Change(*agent);
      if (evictions.nodes.empty() || evictions.nodes.back() != node) evictions.nodes.push_back(node);
      evictions.records.push_back(std::move(record));
    }
    if (!whole) continue;
    if (agent->attached()) evictions.streams.push_back(agent->stream);
    agent->row = RowOf(*agent, published_, now.since_boot);
    agent->row.evicted_at = now.time;
    Change(*agent);
    evictions.records.push_back(agent->row);
    if (evictions.nodes.empty() || evictions.nodes.back() != node) evictions.nodes.push_back(node);
  }
  return evictions;
}

void AgentLedger::TakeBackEviction(const std::string& node, absl::Time evicted_at) {
  const auto found = agents_.find(node);
  if (found == agents_.end()) return;
  absl::erase_if(found->second->evicted_consumers, [&](const auto& evicted) {
    if (evicted.second.row.evicted_at != evicted_at) return false;
    forgotten_.push_back(evicted.first);  // it may be saved after all
    return true;
  });
  MayDiffer(*found->second);
  SubscriberRecord& row = found->second->row;
  if (row.evicted_at != evicted_at) return;
  row.evicted_at = absl::InfiniteFuture();
  row.trust_version = 0;
}

void AgentLedger::EndEvictions(KnownAgent& agent, absl::Duration since_boot) {
  if (agent.evicted_consumers.empty() || !NamesAllBehind(*agent.report) || since_boot < agent.comes_back_until) return;
  absl::flat_hash_set<std::string> named;
  for (const BehindConsumer& consumer : agent.report->behind_first) {
    named.insert(ConsumerInstance(agent.row.node, consumer));
  }
  absl::erase_if(agent.evicted_consumers, [&](const auto& evicted) {
    if (named.contains(evicted.first)) return false;
    forgotten_.push_back(evicted.first);
    MayDiffer(agent);
    return true;
  });
}

}  // namespace meshca
