// One condition of a registration entry.
#ifndef MESHCA_CA_AUTHN_SELECTOR_H_
#define MESHCA_CA_AUTHN_SELECTOR_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

class SelectorKind;

// A kind and the value that a process must have: `unix:uid:1000`, `unix:path:/usr/bin/envoy`,
// `systemd:unit:web.service`. A value with one spelling: two selectors are the same condition exactly when their texts
// are equal.
struct Selector {
  const SelectorKind* kind;  // never null; lives as long as the process
  std::string value;

  // InvalidArgument (reason SELECTOR_INVALID) quotes the text and lists the kinds there are.
  static absl::StatusOr<Selector> Parse(absl::string_view text);
  std::string ToString() const;
};

// What RegistrationEntry::selectors holds: each parsed, written back in its one form, sorted, unique.
// InvalidArgument also: none, or more than 16.
absl::StatusOr<std::vector<std::string>> NormaliseSelectors(const std::vector<std::string>& selectors);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SELECTOR_H_
