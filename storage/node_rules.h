// The rules of nodes: which machine has a node's name, and what the agent on it may be given.
#ifndef MESHCA_STORAGE_NODE_RULES_H_
#define MESHCA_STORAGE_NODE_RULES_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/audit_entry.h"
#include "ca/identity/node_store.h"
#include "ca/issuance/issuance_store.h"
#include "storage/inventory.h"
#include "storage/renewal_rules.h"
#include "storage/tables.h"
#include "storage/token_rules.h"

namespace meshca::storage {

// See NodeStore for these calls and their errors. They run inside a transaction of the caller. BanNode writes the ban
// and deletes the node's tokens; what the node holds is revoked by its caller.
absl::StatusOr<NodeRecord> FindNode(Tables& tables, const KeyEncryption& keys, absl::string_view node);
absl::StatusOr<std::vector<NodeRecord>> ListNodes(Tables& tables, const KeyEncryption& keys);
absl::StatusOr<NodeRecord> BanNode(Tables& tables, const KeyEncryption& keys, absl::string_view node,
                                   absl::string_view reason, const AuditEntry& audit);
absl::Status ForgetNode(Tables& tables, const KeyEncryption& keys, absl::string_view node, const AuditEntry& audit);

// Whether a token for `spiffe_id` may be made. FailedPrecondition (NODE_BANNED): not while its node is banned.
absl::Status CheckTokenForNode(const Inventory& inventory, const SpiffeId& spiffe_id);

// PermissionDenied (AGENT_ID_NOT_ALLOWED): `record` is for an agent's ID, and neither redeems a token nor renews.
absl::Status CheckWayToAgentId(const IssuanceRecord& record);
// For the certificate of a node's agent that redeems a join token: the node's row as it is to be written with the
// certificate. Its line_serial is the certificate's own where this machine begins to have the name. Errors: those of
// IssuanceStore::Append.
absl::StatusOr<NodeRecord> JudgeJoin(const Inventory& inventory, const IssuanceRecord& record,
                                     const Redemption& redemption);
// For AuthMethod::kNodeKey: the right of an agent to another certificate by the key of its last one. Errors: those of
// IssuanceStore::Append.
absl::StatusOr<InheritedRight> JudgeJoinByKey(const Inventory& inventory, const IssuanceRecord& record);
// What the audit log says of an agent that joined by its key; nothing where the answer before was lost, and the same
// new key gets another certificate. `before` is the row that JudgeJoinByKey found.
std::optional<AuditEntry> JoinedByKey(const NodeRecord& before, const IssuanceRecord& record);
// The row after `record`, a certificate of the node's agent.
NodeRecord WithNewestCertificate(NodeRecord node, const IssuanceRecord& record);
absl::Status PutNode(Tables& tables, const KeyEncryption& keys, const NodeRecord& node);

// For an agent that shows `shown`, a certificate of the line `line` (bytes): the row of its node. Unauthenticated
// (NODE_REPLACED, NODE_UNKNOWN), PermissionDenied (NODE_BANNED): it is not the machine that has the name, or banned.
absl::StatusOr<NodeRecord> JudgeAgentLine(const Inventory& inventory, const PresentedCertificate& shown,
                                          absl::string_view line);
// For a workload that shows `shown`, which the agent of `node` got for it at `issued_at`. Errors: the same.
absl::Status CheckNodeOfWorkload(const Inventory& inventory, const PresentedCertificate& shown, absl::string_view node,
                                 absl::Time issued_at);
// For AuthMethod::kAgent: `agent_of` is the node of the agent that asks for `record`, who has been judged. Errors:
// those of IssuanceStore::Append, except that the entry is not looked at.
absl::StatusOr<InheritedRight> JudgeAgentRequest(const Inventory& inventory, const IssuanceRecord& record,
                                                 const NodeRecord& agent_of);
// For AuthMethod::kAgent: PermissionDenied (ENTRY_GONE) unless the entry that `record.origin` names gives its ID to
// processes on its node.
absl::Status CheckEntryForNode(const Inventory& inventory, const IssuanceRecord& record);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_NODE_RULES_H_
