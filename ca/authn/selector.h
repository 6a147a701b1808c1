// One condition of a registration entry.
#ifndef MESHCA_CA_AUTHN_SELECTOR_H_
#define MESHCA_CA_AUTHN_SELECTOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

enum class SelectorKind { kUnixUid, kUnixGid, kUnixPath };

// `unix:uid:1000`, `unix:gid:1000` or `unix:path:/usr/bin/envoy`. A value.
struct Selector {
  SelectorKind kind = SelectorKind::kUnixUid;
  uint32_t number = 0;  // kUnixUid, kUnixGid
  std::string path;     // kUnixPath: absolute, without `.`, `..` and doubled slashes, as /proc/PID/exe shows it

  // InvalidArgument (reason SELECTOR_INVALID) quotes the text and lists the kinds there are.
  static absl::StatusOr<Selector> Parse(absl::string_view text);
  std::string ToString() const;
};

// What RegistrationEntry::selectors holds: each parsed, written back in its one form, sorted, unique.
// InvalidArgument also: none, or more than 16.
absl::StatusOr<std::vector<std::string>> NormaliseSelectors(const std::vector<std::string>& selectors);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SELECTOR_H_
