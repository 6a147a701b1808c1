// The command that makes the registration entry which a refused caller lacks.
#ifndef MESHCA_CA_IDENTITY_ENTRY_ADVICE_H_
#define MESHCA_CA_IDENTITY_ENTRY_ADVICE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

// An entry counts at the sockets of the agents whose nodes it names, and one without nodes at the CA's own. So the
// command depends on whose socket refused: at an agent's it names the node, and is typed on another host than the
// reader's.
struct EntryAdvice {
  std::string node = {};  // whose agent refused; "": the CA's own host

  // "make one: meshca entry create spiffe://TD/web --selector unix:uid:1000"; at an agent's socket "make one, on the
  // CA's host: meshca entry create spiffe://TD/web --selector unix:uid:1000 --node web-1". `verb` is the "make one".
  std::string Say(absl::string_view verb, absl::string_view spiffe_id, absl::string_view selector) const;
  // The command alone.
  std::string Command(absl::string_view spiffe_id, absl::string_view selector) const;
};

// Stands in a command for the selectors, where those are the reader's to choose.
inline constexpr absl::string_view kAnySelector = "...";
// "unix:uid:1000".
std::string UidSelector(uint32_t uid);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_ENTRY_ADVICE_H_
