// The names under which a rotation knows agents and the consumers on their nodes: SubscriberRecord::instance.
#ifndef MESHCA_CA_AGENTS_AGENT_INSTANCE_H_
#define MESHCA_CA_AGENTS_AGENT_INSTANCE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/agents/agent_report.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// "agent:web-1". Of the agent of `node`, and IssuanceRecord::instance of what is issued for its node: a rotation then
// judges those certificates by what the agent reports, and not one by one.
std::string AgentInstance(absl::string_view node);

// "agent:web-1/4242/ns/default/sa/web": of a consumer on `node` that is behind.
std::string ConsumerInstance(absl::string_view node, const BehindConsumer& consumer);

// Whether the record is one of a consumer on `node`, and not of the agent itself.
bool IsConsumerRecord(absl::string_view node, const SubscriberRecord& record);

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_AGENT_INSTANCE_H_
