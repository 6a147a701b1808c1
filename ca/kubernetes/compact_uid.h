// The uid of an object, in the sixteen bytes that it is.
#ifndef MESHCA_CA_KUBERNETES_COMPACT_UID_H_
#define MESHCA_CA_KUBERNETES_COMPACT_UID_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace meshca::kubernetes {

// A value.
struct CompactUid {
  std::array<uint8_t, 16> bytes{};

  // Nothing: it is no UUID in the one spelling that the API server uses (RFC 9562 §4, lower case). No other spelling is
  // the same uid.
  static std::optional<CompactUid> Parse(absl::string_view text);
  std::string Text() const;

  friend bool operator==(const CompactUid&, const CompactUid&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const CompactUid& uid) {
    return H::combine(std::move(h), uid.bytes);
  }
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_COMPACT_UID_H_
