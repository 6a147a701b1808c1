// Nodes: whose agents have joined, and who is banned.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"

namespace meshca::admin_methods {
namespace {

constexpr size_t kBanReasonBytesMax = 255;

absl::StatusOr<NodeStore*> Nodes(const AdminContext& context) {
  if (context.nodes == nullptr) return absl::UnimplementedError("this server keeps no inventory of nodes");
  return context.nodes;
}

// Live certificates that are not revoked, counted by node.
struct LiveOfNodes {
  absl::flat_hash_map<std::string, uint64_t> counts;
};

// One reading of the live certificates, of one node or ("") of all.
absl::StatusOr<LiveOfNodes> CountLive(const AdminContext& context, const std::string& node) {
  LiveOfNodes live;
  IssuanceFilter filter;
  filter.node = node;
  filter.expires_after = context.clock.LikelyNow();
  MESHCA_RETURN_IF_ERROR(context.issuances.List(filter, [&](const IssuanceRecord& record) {
    if (!record.node.empty() && record.revoked_at == absl::InfiniteFuture()) ++live.counts[record.node];
    return true;
  }));
  return live;
}

// What stands of the agent's newest certificate: a line is revoked as a whole, so it speaks for the machine.
absl::StatusOr<std::string> StateOf(const AdminContext& context, const NodeRecord& node) {
  if (node.banned()) return std::string("banned");
  if (context.clock.LikelyNow() >= node.certificate_expires + absl::Seconds(1)) return std::string("expired");
  const absl::StatusOr<SerialNumber> serial = SerialNumber::FromHex(node.certificate_serial);
  if (!serial.ok()) return std::string("joined");
  const absl::StatusOr<IssuanceRecord> record = context.issuances.Find(*serial);
  if (absl::IsNotFound(record.status())) return std::string("joined");
  MESHCA_RETURN_IF_ERROR(record.status());
  return std::string(record->revoked_at == absl::InfiniteFuture() ? "joined" : "revoked");
}

absl::StatusOr<v1::Node> NodeMessage(const AdminContext& context, const NodeRecord& node, const LiveOfNodes& live) {
  v1::Node message;
  message.set_name(node.node);
  MESHCA_ASSIGN_OR_RETURN(*message.mutable_state(), StateOf(context, node));
  SetTime(node.joined_at, [&] { return message.mutable_joined_at(); });
  message.set_token_id(node.token_id);
  message.set_certificate_serial(node.certificate_serial);
  SetTime(node.certificate_expires, [&] { return message.mutable_certificate_not_after(); });
  if (const auto found = live.counts.find(node.node); found != live.counts.end()) {
    message.set_live_certificates(found->second);
  }
  if (node.banned()) SetTime(node.banned_at, [&] { return message.mutable_banned_at(); });
  message.set_banned_by(node.banned_by);
  message.set_ban_reason(node.ban_reason);
  if (!context.attached_agent) return message;
  if (const std::optional<AttachedAgent> agent = context.attached_agent(node.node); agent.has_value()) {
    message.set_displaced(agent->displaced);
    SetTime(agent->displaced_at, [&] { return message.mutable_displaced_at(); });
    if (!agent->connected) return message;
    message.set_connected(true);
    message.set_version(agent->version);
    message.set_trust_version(agent->trust_version);
    message.set_consumers(agent->consumers);
    message.set_behind(agent->behind);
  }
  return message;
}

absl::Status SayWhereToLook(absl::Status status, const std::string& name) {
  if (!absl::IsNotFound(status)) return status;
  return absl::NotFoundError(absl::StrCat("no node \"", PrintableQuoted(name),
                                          "\" has joined; `meshca node list` shows "
                                          "those that have"));
}

AuditEntry NodeAudit(const AdminContext& context, const std::string& actor, absl::string_view action,
                     const std::string& node) {
  AuditEntry audit;
  audit.time = context.clock.LikelyNow();
  audit.actor = actor;
  audit.action = std::string(action);
  audit.target = absl::StrCat("node ", node);
  return audit;
}

}  // namespace

absl::StatusOr<v1::ListNodesResponse> ListNodes(const AdminContext& context, const std::string& actor,
                                                const v1::ListNodesRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(NodeStore* const nodes, Nodes(context));
  MESHCA_ASSIGN_OR_RETURN(const std::vector<NodeRecord> records, nodes->ListNodes());
  v1::ListNodesResponse response;
  if (records.empty()) return response;
  MESHCA_ASSIGN_OR_RETURN(const LiveOfNodes live, CountLive(context, ""));
  for (const NodeRecord& node : records) {
    MESHCA_ASSIGN_OR_RETURN(*response.add_nodes(), NodeMessage(context, node, live));
  }
  return response;
}

absl::StatusOr<v1::Node> GetNode(const AdminContext& context, const std::string& actor,
                                 const v1::GetNodeRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(NodeStore* const nodes, Nodes(context));
  const absl::StatusOr<NodeRecord> node = nodes->FindNode(request.name());
  if (!node.ok()) return SayWhereToLook(node.status(), request.name());
  MESHCA_ASSIGN_OR_RETURN(const LiveOfNodes live, CountLive(context, node->node));
  return NodeMessage(context, *node, live);
}

absl::StatusOr<v1::BanNodeResponse> BanNode(const AdminContext& context, const std::string& actor,
                                            const v1::BanNodeRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(NodeStore* const nodes, Nodes(context));
  if (request.reason().size() > kBanReasonBytesMax || Printable(request.reason()) != request.reason()) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("reason: must be at most ", kBanReasonBytesMax,
                                                              " bytes of UTF-8 without control characters")),
                      "BAN_REASON");
  }
  AuditEntry audit = NodeAudit(context, actor, "node.ban", request.name());
  audit.detail = request.reason();
  const absl::StatusOr<NodeBan> ban = nodes->BanNode(request.name(), request.reason(), audit);
  // Whatever became of this call: the ban may be written, and what came after it have failed.
  if (context.judge_connections) context.judge_connections();
  const uint64_t keys_dropped = context.subscribers.DropRevoked();
  if (!ban.ok()) return SayWhereToLook(ban.status(), request.name());
  if (context.count_revoked) context.count_revoked(ban->certificates);
  v1::BanNodeResponse response;
  response.set_certificates(ban->certificates);
  response.set_keys_dropped(keys_dropped);
  MESHCA_ASSIGN_OR_RETURN(const LiveOfNodes live, CountLive(context, ban->node.node));
  MESHCA_ASSIGN_OR_RETURN(*response.mutable_node(), NodeMessage(context, ban->node, live));
  return response;
}

absl::StatusOr<v1::ForgetNodeResponse> ForgetNode(const AdminContext& context, const std::string& actor,
                                                  const v1::ForgetNodeRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(NodeStore* const nodes, Nodes(context));
  const absl::Status forgotten =
      nodes->ForgetNode(request.name(), NodeAudit(context, actor, "node.forget", request.name()));
  if (!forgotten.ok()) return SayWhereToLook(forgotten, request.name());
  // Its agent's certificate, if one still lives, is nobody's now.
  if (context.judge_connections) context.judge_connections();
  return v1::ForgetNodeResponse();
}

}  // namespace meshca::admin_methods
