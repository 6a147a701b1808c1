// Which live leaves still depend on what a rotation is about to take away. storage/ implements it.
#ifndef MESHCA_CA_AUTHORITY_LEAF_INVENTORY_H_
#define MESHCA_CA_AUTHORITY_LEAF_INVENTORY_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace meshca {

// What a rotation wants to know of one issuance.
struct LiveLeaf {
  std::string serial;  // hex
  std::string spiffe_id;
  std::string instance;  // "" where unknown
  std::string node;      // "" where unknown
  std::string caller;    // CallerIdentity::subject
  std::string authority_id;
  absl::Time issued_at;
  absl::Time not_after;
};

// Every condition holds for the leaves asked for.
struct LeafQuery {
  // Alive: notAfter >= this.
  absl::Time alive_at;
  // Signed by an authority whose root_id is this; "" for any root.
  std::string root_id;
  absl::Time issued_before = absl::InfiniteFuture();
  // Not of this identity (the CA's own TLS certificate, which it replaces itself); "" for none.
  std::string except_spiffe_id;
};

// Thread-safe.
class LeafInventory {
 public:
  virtual ~LeafInventory() = default;

  // Calls `visit` for each leaf of `query` that is not revoked and was not replaced, in no order, until it returns
  // false. A leaf counts as replaced in two cases:
  //   - a later leaf names it as its parent. The later leaf then stands in for it: it is visited if it is alive and
  //     `query` asks for it;
  //   - a live leaf that `query` does not ask for has the same SPIFFE ID and the same instance (which is not ""): its
  //     holder has moved on. That is one under another root, or, where `query` names no root, one issued at or after
  //     issued_before.
  // Blocks on the database, up to seconds where millions of leaves are alive; memory is constant. Unavailable.
  virtual absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_LEAF_INVENTORY_H_
