// The inventory of nodes: which machine has which node's name, and who is banned. storage/ implements it.
#ifndef MESHCA_CA_IDENTITY_NODE_STORE_H_
#define MESHCA_CA_IDENTITY_NODE_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"

namespace meshca {

// One node. A machine has the name from its first certificate on, which a join token gave it; that certificate and its
// renewals are the *line* by which the machine is known. Holds no secret.
struct NodeRecord {
  std::string node;         // see CheckNodeName (node_name.h)
  absl::Time joined_at;     // when the machine that has the name now got its first certificate: for people
  std::string token_id;     // of the join token that gave it
  std::string line_serial;  // hex, of that first certificate (or of the one whose line it went on with)
  // The number that the store gave to that first certificate. Numbers only grow, whatever a clock does: a certificate
  // of this node with a lower one was given to an earlier machine. 0: of a row that an earlier version wrote.
  int64_t joined_number = 0;
  // The agent's newest certificate: serial number (hex), when it ends, and SHA-256 of its SubjectPublicKeyInfo (32
  // bytes). Who proves possession of that key is the machine that has the name.
  std::string certificate_serial;
  absl::Time certificate_expires = absl::InfinitePast();
  std::string key_sha256;
  absl::Time banned_at = absl::InfiniteFuture();  // InfiniteFuture: it is not banned
  std::string banned_by;
  std::string ban_reason;  // an operator's words

  bool banned() const { return banned_at != absl::InfiniteFuture(); }

  friend bool operator==(const NodeRecord&, const NodeRecord&) = default;
};

// Reason of the statuses that a banned node, or whoever wants a token for it, is told.
inline constexpr char kNodeBanned[] = "NODE_BANNED";
// PermissionDenied (NODE_BANNED), for a node that is banned: what whoever holds its keys is told. By whom and why it
// was banned is for operators (`meshca node show`).
absl::Status NodeIsBanned(const NodeRecord& node);

// What a ban took back.
struct NodeBan {
  NodeRecord node;
  uint64_t certificates = 0;  // live ones, of the agent and of the workloads on its node, that are revoked now
};

// Thread-safe. Every call blocks on the database: for the pool, never for a loop. Rows are made and changed by the
// transactions that record an agent's certificates (IssuanceStore::Append); these calls do the rest.
// Errors of all: Unavailable, DataLoss (a row's MAC does not fit).
class NodeStore {
 public:
  virtual ~NodeStore() = default;

  // NotFound: no node of this name has joined, or it was forgotten.
  virtual absl::StatusOr<NodeRecord> FindNode(absl::string_view node) = 0;
  // By name.
  virtual absl::StatusOr<std::vector<NodeRecord>> ListNodes() = 0;
  // From the first commit on the node's agent gets nothing more and the join tokens of the node are gone, those of its
  // workloads too; then everything that the node holds is revoked (RevocationStore::Revoke, privilegeWithdrawn).
  // Durable when it returns. The time and the actor of `audit` say since when and by whom. A node that is banned
  // already stays banned as it was; what it holds is revoked all the same, so a call that broke off may be repeated.
  // NotFound.
  virtual absl::StatusOr<NodeBan> BanNode(absl::string_view node, absl::string_view reason,
                                          const AuditEntry& audit) = 0;
  // Forgets the node, its ban and its join tokens: a token that is made afterwards lets a machine have the name again.
  // NotFound. FailedPrecondition (NODE_LIVES): it is not banned and its agent's certificate lives at `audit.time`.
  virtual absl::Status ForgetNode(absl::string_view node, const AuditEntry& audit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_NODE_STORE_H_
