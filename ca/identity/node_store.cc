#include "ca/identity/node_store.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {

absl::Status NodeIsBanned(const NodeRecord& node) {
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat("node ", node.node, ": banned since ", Rfc3339Text(node.banned_at),
                                               "; an operator may lift it (meshca node forget ", node.node,
                                               "), and a token made after that lets its agent join again")),
      kNodeBanned);
}

}  // namespace meshca
