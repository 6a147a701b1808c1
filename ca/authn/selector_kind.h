// The kinds of condition that a registration entry may set, each in a file of its own (selector_*.cc).
#ifndef MESHCA_CA_AUTHN_SELECTOR_KIND_H_
#define MESHCA_CA_AUTHN_SELECTOR_KIND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/process_facts.h"

namespace meshca {

// One kind of selector: how its values are written, and which of them a process has. Immutable, thread-safe; each lives
// as long as the process of the CA.
class SelectorKind {
 public:
  virtual ~SelectorKind() = default;

  // What a selector of this kind begins with: "unix:uid:".
  virtual absl::string_view prefix() const = 0;
  // For lists of what may be written: "unix:uid:N".
  virtual absl::string_view form() const = 0;

  // Why `value` cannot stand behind the prefix, for people; "" where it can. Each value has one spelling, because
  // selectors are compared as text.
  virtual std::string ValueFault(absl::string_view value) const = 0;

  // Why a value that can be written fits nobody all the same; "" where it may fit somebody.
  virtual std::string WhyFitsNobody(absl::string_view value, const OverflowIds& overflow) const { return ""; }

  // The values that the process has, in their one spelling. None where there is none (a process in no systemd unit).
  // Errors: those of the fact that it rests on; Unavailable where that could not be read without waiting
  // (ProcessFacts::Reading).
  virtual absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const = 0;
};

// All there are. Of an entry's selectors the one whose kind stands first here is what callers are found by.
absl::Span<const SelectorKind* const> SelectorKinds();

// Each kind, from its own file.
const SelectorKind& UnixUidSelector();
const SelectorKind& UnixGidSelector();
const SelectorKind& UnixUserSelector();
const SelectorKind& UnixGroupSelector();
const SelectorKind& UnixPathSelector();
const SelectorKind& UnixSha256Selector();
const SelectorKind& SystemdUnitSelector();

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SELECTOR_KIND_H_
