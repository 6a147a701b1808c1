// The name of a trust domain (SPIFFE-ID §2.1).
#ifndef MESHCA_CA_SPIFFE_TRUST_DOMAIN_H_
#define MESHCA_CA_SPIFFE_TRUST_DOMAIN_H_

#include <compare>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// 1-255 bytes of `[a-z0-9.-_]`. Upper-case letters are accepted and stored lower-case: trust domains compare without
// case. A default-constructed one is empty: a place to assign to. Immutable value, thread-safe.
class TrustDomain {
 public:
  TrustDomain() = default;

  // A bare name, as configuration has it: `cluster.local`.
  // InvalidArgument names the rule broken; the noun is "trust domain".
  static absl::StatusOr<TrustDomain> Parse(absl::string_view name);
  // A trust domain's ID: `spiffe://cluster.local`, without a path.
  static absl::StatusOr<TrustDomain> ParseId(absl::string_view uri);

  const std::string& name() const { return name_; }
  // `spiffe://cluster.local`
  std::string Id() const;
  bool empty() const { return name_.empty(); }

  friend bool operator==(const TrustDomain&, const TrustDomain&) = default;
  friend std::strong_ordering operator<=>(const TrustDomain& a, const TrustDomain& b) {
    return a.name_.compare(b.name_) <=> 0;
  }
  template <typename H>
  friend H AbslHashValue(H h, const TrustDomain& domain) {
    return H::combine(std::move(h), domain.name_);
  }

 private:
  friend class SpiffeId;
  explicit TrustDomain(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SPIFFE_TRUST_DOMAIN_H_
