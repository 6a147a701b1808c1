// A SPIFFE ID (SPIFFE-ID §2): `spiffe://trust-domain/path`.
#ifndef MESHCA_CA_SPIFFE_SPIFFE_ID_H_
#define MESHCA_CA_SPIFFE_SPIFFE_ID_H_

#include <compare>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// Valid by construction: scheme and trust domain stored lower-case (they compare without case, the path with it), path
// either empty (the trust domain's own ID) or `/segment/segment`, each segment of `[a-zA-Z0-9.-_]` and neither empty,
// `.` nor `..`; at most 2048 bytes. A default-constructed one is empty: a place to assign to. Immutable value,
// thread-safe.
class SpiffeId {
 public:
  static constexpr size_t kBytesMax = 2048;

  SpiffeId() = default;

  // InvalidArgument (reason SPIFFE_ID_INVALID) names the rule broken and quotes the ID, escaped and cut short.
  static absl::StatusOr<SpiffeId> Parse(absl::string_view uri);
  // `path` is "" or begins with '/'.
  static absl::StatusOr<SpiffeId> FromParts(const TrustDomain& trust_domain, absl::string_view path);

  const std::string& uri() const { return uri_; }
  TrustDomain trust_domain() const { return TrustDomain(std::string(trust_domain_name())); }
  absl::string_view trust_domain_name() const;
  // "" or "/ns/default/sa/web".
  absl::string_view path() const;
  bool has_path() const { return !path().empty(); }
  bool empty() const { return uri_.empty(); }
  bool MemberOf(const TrustDomain& domain) const { return trust_domain_name() == domain.name(); }

  // Belongs to meshca itself: the path is `/meshca` or begins with `/meshca/`. No template may yield it.
  bool IsReserved() const;

  // Does the whole ID fit `pattern`, in which `*` is any run of bytes (also of '/') and `?` any one byte?
  bool MatchesGlob(absl::string_view pattern) const;

  friend bool operator==(const SpiffeId& a, const SpiffeId& b) { return a.uri_ == b.uri_; }
  friend std::strong_ordering operator<=>(const SpiffeId& a, const SpiffeId& b) { return a.uri_.compare(b.uri_) <=> 0; }
  template <typename H>
  friend H AbslHashValue(H h, const SpiffeId& id) {
    return H::combine(std::move(h), id.uri_);
  }

 private:
  SpiffeId(std::string uri, size_t trust_domain_size) : uri_(std::move(uri)), trust_domain_size_(trust_domain_size) {}
  std::string uri_;
  size_t trust_domain_size_ = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_SPIFFE_SPIFFE_ID_H_
