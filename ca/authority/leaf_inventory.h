// Finds the live leaf certificates that still depend on what a rotation is about to take away. storage/ implements it.
#ifndef MESHCA_CA_AUTHORITY_LEAF_INVENTORY_H_
#define MESHCA_CA_AUTHORITY_LEAF_INVENTORY_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"

namespace meshca {

// What a rotation needs to know about one issued certificate.
struct LiveLeaf {
  std::string serial;  // hex
  std::string spiffe_id;
  std::string instance;  // SubscriberRecord::instance; "": unknown
  std::string node;      // "": unknown
  AuthMethod method = AuthMethod::kJoinToken;
  std::string caller;  // CallerIdentity::subject
  Origin origin;       // of its right
  std::string authority_id;
  absl::Time not_before;
  absl::Time issued_at;
  absl::Time not_after;
};

// Selects leaves; all conditions must hold.
struct LeafQuery {
  // Only leaves with notAfter >= this.
  absl::Time alive_at;
  // Only leaves signed by an authority with this root_id; "": of any root.
  std::string root_id;
  absl::Time issued_before = absl::InfiniteFuture();
  // Leaves of this identity are left out: the CA's own TLS certificate, which it replaces itself. "": none is.
  std::string except_spiffe_id;
};

// Thread-safe.
class LeafInventory {
 public:
  virtual ~LeafInventory() = default;

  // Calls `visit` for each leaf of `query` that is not revoked and was not replaced, in no order, until it returns
  // false. A leaf counts as replaced in two cases:
  //   - a later leaf is recorded as having replaced it (IssuanceStore::Append says when it is). The later leaf then
  //     stands in for it: it is visited if it is alive and `query` asks for it;
  //   - its holder has moved on: there is another live leaf with the same SPIFFE ID and the same instance (not "") that
  //     `query` does not ask for, because it is under another root or, if `query` names no root, because it was issued
  //     at or after issued_before.
  // Blocks on the database, for seconds if millions of leaves are alive; memory is constant. Error: Unavailable.
  virtual absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_LEAF_INVENTORY_H_
