#include "storage/node_rules.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/entry_advice.h"
#include "ca/identity/node_key.h"
#include "ca/identity/node_name.h"
#include "ca/x509/encoding.h"
#include "storage/store.h"
#include "storage/trust_macs.h"

namespace meshca::storage {
namespace {

absl::Status NoSuchNode(absl::string_view node) {
  return absl::NotFoundError(absl::StrCat("node ", node, ": no machine has joined under this name"));
}

absl::Status RefuseReplaced(const NodeRecord& node) {
  constexpr absl::string_view kNext =
      " and took it over; give this one a name of its own, and a token for that: meshca token create --node NAME";
  return WithReason(
      absl::UnauthenticatedError(absl::StrCat("node ", node.node, ": another machine joined by this name at ",
                                              Rfc3339Text(node.joined_at), kNext)),
      kNodeReplaced);
}

absl::Status RefuseUnknown(absl::string_view node) {
  constexpr absl::string_view kWhy =
      ": it was forgotten here, or joined before this meshca kept an inventory of nodes; join again with a new token: "
      "meshca token create --node ";
  return WithReason(absl::UnauthenticatedError(absl::StrCat("node ", node, kWhy, node)), kNodeUnknown);
}

absl::Status RefuseAgentId(absl::string_view what) {
  return WithReason(absl::PermissionDeniedError(what), kAgentIdNotAllowed);
}

// Is the machine that has the name alive at `now`: does its agent hold a certificate that has not ended and is not
// revoked?
absl::StatusOr<bool> IsAlive(const Inventory& inventory, const NodeRecord& node, absl::Time now) {
  // A certificate lives to the end of its last second.
  if (now >= node.certificate_expires + absl::Seconds(1)) return false;
  if (const auto serial = SerialBytes(node.certificate_serial); serial.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(const auto record, inventory.FindRecorded(*serial));
    if (record.has_value() && record->revocation.has_value()) return false;
  }
  MESHCA_ASSIGN_OR_RETURN(const auto revoked, inventory.FindRevokedLine(SerialBytes(node.line_serial).value_or("")));
  return !revoked.has_value();
}

absl::Status RefuseSecondMachine(const NodeRecord& node) {
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat(
          "node ", node.node, ": a machine that joined at ", Rfc3339Text(node.joined_at),
          " has this name, and its agent's certificate lives until ", Rfc3339Text(node.certificate_expires),
          "; if this machine takes its place, join with a token that says so: meshca token create --node ", node.node,
          " --replace")),
      kNodeLives);
}

// Whether `certificate`, of this node, was given to the machine that has its name now. By the order in which
// certificates were recorded: a wall clock that was set back before a machine took a name over would give it what was
// given to the one before, and one that was ahead then would deny it what was given to itself.
absl::StatusOr<bool> IsOfThisMachine(const Inventory& inventory, const NodeRecord& node,
                                     const RecordedCertificate& certificate) {
  if (node.joined_number != 0) return certificate.number >= node.joined_number;
  MESHCA_ASSIGN_OR_RETURN(const auto first, inventory.FindRecorded(SerialBytes(node.line_serial).value_or("")));
  // Pruned long after it ended, and what lives now is younger.
  return !first.has_value() || certificate.number >= first->number;
}

NodeRecord JoinedNode(absl::string_view name, const IssuanceRecord& record) {
  NodeRecord node;
  node.node = std::string(name);
  node.joined_at = record.issued_at;
  node.token_id = record.token_id;
  node.line_serial = record.serial.ToHex();
  return node;
}

}  // namespace

absl::StatusOr<NodeRecord> FindNode(Tables& tables, const KeyEncryption& keys, absl::string_view node) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<NodeRecord> found, Inventory(tables, keys).FindNode(node));
  if (!found.has_value()) return NoSuchNode(node);
  return *std::move(found);
}

absl::StatusOr<std::vector<NodeRecord>> ListNodes(Tables& tables, const KeyEncryption& keys) {
  std::vector<NodeRecord> nodes;
  MESHCA_RETURN_IF_ERROR(tables.nodes.Visit([&](WithMac<NodeRecord> row) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(NodeRecord node, Verified(std::move(row), keys));
    nodes.push_back(std::move(node));
    return absl::OkStatus();
  }));
  return nodes;
}

absl::StatusOr<NodeRecord> BanNode(Tables& tables, const KeyEncryption& keys, absl::string_view node,
                                   absl::string_view reason, const AuditEntry& audit) {
  MESHCA_ASSIGN_OR_RETURN(NodeRecord row, FindNode(tables, keys, node));
  MESHCA_RETURN_IF_ERROR(tables.tokens.DeleteOfNode(row.node));
  if (row.banned()) return row;
  row.banned_at = audit.time;
  row.banned_by = audit.actor;
  row.ban_reason = std::string(reason);
  MESHCA_RETURN_IF_ERROR(PutNode(tables, keys, row));
  return row;
}

absl::Status ForgetNode(Tables& tables, const KeyEncryption& keys, absl::string_view node, const AuditEntry& audit) {
  MESHCA_ASSIGN_OR_RETURN(const NodeRecord row, FindNode(tables, keys, node));
  MESHCA_ASSIGN_OR_RETURN(const bool lives, IsAlive(Inventory(tables, keys), row, audit.time));
  if (lives && !row.banned()) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "node ", row.node, ": its agent's certificate lives until ", Rfc3339Text(row.certificate_expires),
            "; ban it first, which takes back what it holds: meshca node ban ", row.node)),
        kNodeLives);
  }
  MESHCA_RETURN_IF_ERROR(tables.tokens.DeleteOfNode(row.node));
  return tables.nodes.Delete(row.node).status();
}

absl::Status CheckTokenOfNode(const Inventory& inventory, absl::string_view node) {
  if (node.empty()) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const std::optional<NodeRecord> row, inventory.FindNode(node));
  return row.has_value() && row->banned() ? NodeIsBanned(*row) : absl::OkStatus();
}

absl::Status CheckWayToAgentId(const IssuanceRecord& record) {
  const SpiffeId& id = record.spiffe_id;
  if (!IsAgentId(id)) return absl::OkStatus();
  if (NodeOfAgent(id).empty()) {
    return RefuseAgentId(
        absl::StrCat(id.uri(), " is no agent's identity: what stands behind /meshca/agent/ is no node's name"));
  }
  const bool joins = record.method == AuthMethod::kJoinToken && !record.token_id.empty();
  const bool renews = record.method == AuthMethod::kClientCertificate && record.presented.has_value();
  if (joins || renews) return absl::OkStatus();
  return RefuseAgentId(absl::StrCat(id.uri(),
                                    " is the identity of a node's agent: it joins by a token made for it, and "
                                    "renews its own certificate; a token is made by meshca token create --node ",
                                    NodeOfAgent(id)));
}

absl::StatusOr<NodeRecord> JudgeJoin(const Inventory& inventory, const IssuanceRecord& record,
                                     const Redemption& redemption) {
  const absl::string_view name = NodeOfAgent(record.spiffe_id);
  if (redemption.token.spiffe_id != record.spiffe_id) {
    return RefuseAgentId(absl::StrCat("join token ", redemption.token.id, " is for ", redemption.token.spiffe_id.uri(),
                                      ", not for ", record.spiffe_id.uri()));
  }
  MESHCA_ASSIGN_OR_RETURN(std::optional<NodeRecord> node, inventory.FindNode(name));
  if (!node.has_value()) return JoinedNode(name, record);
  if (node->banned()) return NodeIsBanned(*node);
  // Somebody whose token another machine has overtaken must not take the name back with it.
  const bool repeats = !redemption.first;
  const bool has_its_key = node->key_sha256 == record.key_sha256;
  if (repeats && !has_its_key && node->token_id != record.token_id) return RefuseReplaced(*node);
  MESHCA_ASSIGN_OR_RETURN(const auto revoked, inventory.FindRevokedLine(SerialBytes(node->line_serial).value_or("")));
  if (repeats && revoked.has_value()) {
    return CertificateIsRevoked({node->line_serial, "", record.spiffe_id}, *revoked);
  }
  if ((repeats || has_its_key) && !revoked.has_value()) {
    node->token_id = record.token_id;
    return *std::move(node);
  }
  if (!redemption.token.replace) {
    MESHCA_ASSIGN_OR_RETURN(const bool lives, IsAlive(inventory, *node, record.issued_at));
    if (lives) return RefuseSecondMachine(*node);
  }
  return JoinedNode(name, record);
}

absl::StatusOr<InheritedRight> JudgeJoinByKey(const Inventory& inventory, const IssuanceRecord& record) {
  const absl::string_view name = NodeOfAgent(record.spiffe_id);
  if (name.empty() || !record.node_key.has_value()) {
    return RefuseAgentId(absl::StrCat(record.spiffe_id.uri(), ": no key of a node's agent gives it"));
  }
  MESHCA_ASSIGN_OR_RETURN(std::optional<NodeRecord> node, inventory.FindNode(name));
  if (!node.has_value()) return NodeKeyIsNotNewest(name);
  if (node->banned()) return NodeIsBanned(*node);
  MESHCA_RETURN_IF_ERROR(JudgeNodeKey(*node, *record.node_key, record.key_sha256, record.issued_at));
  // The newest certificate may have been pruned; the name of its line stays.
  const std::string line = SerialBytes(node->line_serial).value_or("");
  MESHCA_ASSIGN_OR_RETURN(std::optional<Revocation> revoked, inventory.FindRevokedLine(line));
  if (const auto serial = SerialBytes(node->certificate_serial); !revoked.has_value() && serial.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(const auto newest, inventory.FindRecorded(*serial));
    if (newest.has_value()) revoked = newest->revocation;
  }
  if (revoked.has_value()) return CertificateIsRevoked({node->certificate_serial, "", record.spiffe_id}, *revoked);
  InheritedRight right;
  right.origin = {OriginKind::kJoinToken, node->token_id};
  right.line = line;
  right.node = node->node;
  right.parent = node->certificate_serial;
  right.agent_of = *std::move(node);
  return right;
}

std::optional<AuditEntry> JoinedByKey(const NodeRecord& before, const IssuanceRecord& record) {
  if (before.key_sha256 == record.key_sha256) return std::nullopt;
  AuditEntry entry;
  entry.time = record.issued_at;
  entry.actor = record.caller;
  entry.action = "node.join-by-key";
  entry.target = absl::StrCat("node ", before.node);
  entry.detail = absl::StrCat("certificate ", record.serial.ToHex(), " for a new key, by the key of certificate ",
                              before.certificate_serial, ", which ended at ", Rfc3339Text(before.certificate_expires));
  return entry;
}

absl::StatusOr<NodeRecord> WithNewestCertificate(const Inventory& inventory, NodeRecord node,
                                                 const IssuanceRecord& record) {
  if (node.joined_number == 0) {
    MESHCA_ASSIGN_OR_RETURN(const auto first, inventory.FindRecorded(SerialBytes(node.line_serial).value_or("")));
    if (first.has_value()) node.joined_number = first->number;
  }
  node.certificate_serial = record.serial.ToHex();
  node.certificate_expires = record.not_after;
  node.key_sha256 = record.key_sha256;
  return node;
}

absl::Status PutNode(Tables& tables, const KeyEncryption& keys, const NodeRecord& node) {
  return tables.nodes.Put(node, MacOf(node, keys));
}

absl::StatusOr<NodeRecord> JudgeAgentLine(const Inventory& inventory, const PresentedCertificate& shown,
                                          absl::string_view line) {
  const absl::string_view name = NodeOfAgent(shown.spiffe_id);
  MESHCA_ASSIGN_OR_RETURN(std::optional<NodeRecord> node, inventory.FindNode(name));
  if (!node.has_value()) return RefuseUnknown(name);
  if (node->banned()) return NodeIsBanned(*node);
  if (line != SerialBytes(node->line_serial).value_or("")) return RefuseReplaced(*node);
  return *std::move(node);
}

absl::Status CheckNodeOfWorkload(const Inventory& inventory, const RecordedCertificate& record) {
  MESHCA_ASSIGN_OR_RETURN(const std::optional<NodeRecord> node, inventory.FindNode(record.node));
  if (!node.has_value()) return RefuseUnknown(record.node);
  if (node->banned()) return NodeIsBanned(*node);
  MESHCA_ASSIGN_OR_RETURN(const bool of_this_machine, IsOfThisMachine(inventory, *node, record));
  return of_this_machine ? absl::OkStatus() : RefuseReplaced(*node);
}

absl::StatusOr<InheritedRight> JudgeAgentRequest(const Inventory& inventory, const IssuanceRecord& record,
                                                 const NodeRecord& agent_of) {
  if (record.node != agent_of.node) {
    return WithReason(absl::PermissionDeniedError(absl::StrCat("agent of node ", agent_of.node, ": asks for node ",
                                                               record.node, "; an agent asks for its own node alone")),
                      "NODE_NOT_ALLOWED");
  }
  if (record.spiffe_id.IsReserved()) {
    return RefuseAgentId(absl::StrCat("agent of node ", agent_of.node, ": ", record.spiffe_id.uri(),
                                      " belongs to meshca itself; agents ask for workloads"));
  }
  InheritedRight right;
  right.origin = record.origin;
  right.node = record.node;
  // The agent's word for what it replaces: everybody sees serial numbers in TLS handshakes, so a stolen agent could
  // name another node's certificate, which then would hold no rotation up any more, though its holder has nothing
  // newer.
  const std::optional<std::string> serial = SerialBytes(record.parent_serial);
  if (!serial.has_value()) return right;
  MESHCA_ASSIGN_OR_RETURN(const std::optional<RecordedCertificate> parent, inventory.FindRecorded(*serial));
  if (!parent.has_value() || parent->spiffe_id != record.spiffe_id.uri() || parent->node != record.node) return right;
  MESHCA_ASSIGN_OR_RETURN(const bool of_this_machine, IsOfThisMachine(inventory, agent_of, *parent));
  if (!of_this_machine) return right;
  if (parent->revocation.has_value()) {
    return CertificateIsRevoked({record.parent_serial, parent->certificate_sha256, record.spiffe_id},
                                *parent->revocation);
  }
  right.parent = HexLower(parent->serial);
  right.line = parent->line.empty() ? parent->serial : parent->line;
  return right;
}

absl::Status CheckEntryForNode(const Inventory& inventory, const IssuanceRecord& record) {
  const std::string& id = record.origin.reference;
  std::optional<RegistrationEntry> entry;
  if (record.origin.kind == OriginKind::kEntry && !id.empty()) {
    MESHCA_ASSIGN_OR_RETURN(entry, inventory.FindEntry(id, record.spiffe_id, absl::InfiniteFuture()));
  }
  if (entry.has_value() && entry->IsFor(record.node)) return absl::OkStatus();
  return WithReason(absl::PermissionDeniedError(absl::StrCat(
                        "registration entry ", id, ": it does not give ", record.spiffe_id.uri(),
                        " to processes on node ", record.node, " (any more); ",
                        EntryAdvice{record.node}.Say("make one that does", record.spiffe_id.uri(), kAnySelector))),
                    kEntryGone);
}

}  // namespace meshca::storage
