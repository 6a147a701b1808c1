#include "ca/agents/known_agent.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/agents/agent_instance.h"

namespace meshca {
namespace {

// What a node holds, as it counts.
struct NodeHolding {
  TrustVersion agent = 0;                // whoever is not listed under a name of its own
  TrustVersion least = 0;                // everybody
  std::vector<std::string> authorities;  // each once, the agent's own first; "": certificates of unknown ones
};

void AddOnce(std::string authority_id, std::vector<std::string>& authorities) {
  if (std::find(authorities.begin(), authorities.end(), authority_id) != authorities.end()) return;
  authorities.push_back(std::move(authority_id));
}

uint64_t Accounted(const HeldReport& report) {
  uint64_t certificates = 0;
  for (const HeldUnder& under : report.under) certificates += under.certificates;
  return certificates;
}

// How many certificates under the authority its evicted consumers hold.
uint64_t OfEvicted(const KnownAgent& agent, const std::string& authority_id) {
  if (agent.evicted_consumers.empty()) return 0;
  return static_cast<uint64_t>(std::count_if(
      agent.report->behind_first.begin(), agent.report->behind_first.end(), [&](const BehindConsumer& consumer) {
        return consumer.authority_id == authority_id &&
               agent.evicted_consumers.contains(ConsumerInstance(agent.row.node, consumer));
      }));
}

NodeHolding HoldingOf(const KnownAgent& agent, TrustVersion published, absl::Duration since_boot) {
  NodeHolding holding;
  if (agent.own_authority_id != nullptr) holding.authorities.push_back(*agent.own_authority_id);
  for (const KnownAgent::OwnIssued& issued : agent.own_issued) {
    if (since_boot < issued.until) AddOnce(*issued.authority_id, holding.authorities);
  }
  const bool remembered = !agent.attached() || !agent.report.has_value() || since_boot < agent.comes_back_until;
  if (agent.attached() && agent.report.has_value()) {
    const HeldReport& report = *agent.report;
    const TrustVersion own = std::min(report.own_trust_version, published);
    const TrustVersion slowest = report.consumers == 0 ? own : std::min(report.trust_version, published);
    const bool all_named = NamesAllBehind(report);
    holding.agent = all_named ? own : std::min(own, slowest);
    // The slowest consumer may be one that was evicted: then the names say what the others hold.
    holding.least = all_named && !agent.evicted_consumers.empty() ? own : std::min(own, slowest);
    for (const BehindConsumer& consumer : report.behind_first) {
      if (agent.evicted_consumers.contains(ConsumerInstance(agent.row.node, consumer))) continue;
      holding.least = std::min(holding.least, consumer.trust_version);
    }
    for (const HeldUnder& under : report.under) {
      if (under.certificates > OfEvicted(agent, under.authority_id)) AddOnce(under.authority_id, holding.authorities);
    }
    if (Accounted(report) < report.certificates) AddOnce("", holding.authorities);
    for (const KnownAgent::Recent& recent : agent.issued) {
      if (recent.at + kReportLag > agent.reported_at) AddOnce(*recent.authority_id, holding.authorities);
    }
    if (remembered) {
      holding.agent = std::min(holding.agent, agent.row.trust_version);
      holding.least = std::min(holding.least, agent.row.trust_version);
    }
  } else {
    holding.agent = agent.row.trust_version;
    holding.least = agent.row.trust_version;
    for (const KnownAgent::Recent& recent : agent.issued) AddOnce(*recent.authority_id, holding.authorities);
  }
  if (remembered && agent.row.takes_key) AddOnce(agent.row.authority_id, holding.authorities);
  return holding;
}

std::string ConsumerText(const BehindConsumer& consumer) {
  return absl::StrCat("pid ", consumer.pid, consumer.program.empty() ? "" : " ", consumer.program,
                      consumer.delivered ? ", delivered and never acknowledged" : "");
}

}  // namespace

bool NamesAllBehind(const HeldReport& report) { return report.behind <= report.behind_first.size(); }

SubscriberRecord RowOf(const KnownAgent& agent, TrustVersion published, absl::Duration since_boot) {
  const NodeHolding holding = HoldingOf(agent, published, since_boot);
  SubscriberRecord row = agent.row;
  row.trust_version = holding.least;
  row.takes_bundle = true;
  row.takes_jwt_keys = true;
  row.takes_key = !holding.authorities.empty();
  row.authority_id = holding.authorities.size() == 1 ? holding.authorities.front() : "";
  return row;
}

void AddRecords(const KnownAgent& agent, TrustVersion published, absl::Duration since_boot,
                std::vector<SubscriberRecord>& records) {
  if (!agent.attached() || agent.row.IsEvicted()) {
    records.push_back(agent.row.IsEvicted() ? agent.row : RowOf(agent, published, since_boot));
    return;
  }
  const NodeHolding holding = HoldingOf(agent, published, since_boot);
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
    const auto evicted = agent.evicted_consumers.find(behind.instance);
    if (evicted != agent.evicted_consumers.end()) behind.evicted_at = evicted->second.row.evicted_at;
    behind.spiffe_id = consumer.spiffe_id;
    behind.node = agent.row.node;
    behind.kind = std::string(kAgentKind);
    behind.peer = ConsumerText(consumer);
    behind.connected = true;
    behind.first_seen = consumer.since;
    behind.last_seen = agent.row.last_seen;
    behind.trust_version = std::min(consumer.trust_version, published);
    behind.takes_bundle = true;
    behind.takes_jwt_keys = true;
    records.push_back(std::move(behind));
  }
}

absl::Duration ChangesByTimeAt(const KnownAgent& agent, absl::Duration since_boot) {
  absl::Duration at = absl::InfiniteDuration();
  for (const KnownAgent::OwnIssued& issued : agent.own_issued) {
    if (since_boot < issued.until) at = std::min(at, issued.until);
  }
  if (agent.attached() && since_boot < agent.comes_back_until) at = std::min(at, agent.comes_back_until);
  return at;
}

}  // namespace meshca
