#include "ca/identity/entry_store.h"

#include <algorithm>

#include "ca/base/glob.h"

namespace meshca {

bool RegistrationEntry::IsFor(absl::string_view node) const {
  // `*` fits the name of no node too.
  return !node.empty() &&
         std::any_of(nodes.begin(), nodes.end(), [node](const std::string& glob) { return GlobMatches(glob, node); });
}

}  // namespace meshca
