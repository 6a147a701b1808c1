// Database rows of the nodes whose agents have joined.
#ifndef MESHCA_STORAGE_NODE_TABLE_H_
#define MESHCA_STORAGE_NODE_TABLE_H_

#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/identity/node_store.h"
#include "storage/with_mac.h"

namespace meshca::storage {

class NodeTable {
 public:
  virtual ~NodeTable() = default;

  virtual absl::StatusOr<std::optional<WithMac<NodeRecord>>> Find(absl::string_view node) = 0;
  // Visits all, by name, until `visit` returns an error, which is then returned.
  virtual absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<NodeRecord>)> visit) = 0;
  // Inserts the row of this name, or overwrites it.
  virtual absl::Status Put(const NodeRecord& node, absl::string_view mac) = 0;
  // False: there is none of this name.
  virtual absl::StatusOr<bool> Delete(absl::string_view node) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_NODE_TABLE_H_
