#include "ca/agents/agent_instance.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {
namespace {

constexpr absl::string_view kInstancePrefix = "agent:";

}  // namespace

std::string AgentInstance(absl::string_view node) { return absl::StrCat(kInstancePrefix, node); }

std::string ConsumerInstance(absl::string_view node, const BehindConsumer& consumer) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(consumer.spiffe_id);
  return absl::StrCat(AgentInstance(node), "/", consumer.pid, id.ok() ? id->path() : "");
}

bool IsConsumerRecord(absl::string_view node, const SubscriberRecord& record) {
  absl::string_view rest = record.instance;
  return absl::ConsumePrefix(&rest, absl::StrCat(AgentInstance(node), "/")) && !rest.empty() &&
         absl::ascii_isdigit(static_cast<unsigned char>(rest.front()));
}

}  // namespace meshca
