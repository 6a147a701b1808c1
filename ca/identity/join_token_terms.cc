#include "ca/identity/join_token_terms.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kNodeBytesMax = 253;

}  // namespace

absl::Status CheckJoinTokenTerms(const JoinTokenTerms& terms, const TrustDomain& trust_domain) {
  const SpiffeId& id = terms.spiffe_id;
  if (!id.MemberOf(trust_domain)) {
    return WithReason(absl::InvalidArgumentError(
                          absl::StrCat("SPIFFE ID ", id.uri(), " is not in trust domain ", trust_domain.name())),
                      "SPIFFE_ID_TRUST_DOMAIN");
  }
  if (!id.has_path()) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("SPIFFE ID ", id.uri(), " has no path; a workload's ID has one")),
        "SPIFFE_ID_INVALID");
  }
  if (terms.ttl < absl::Seconds(1) || terms.ttl > JoinTokenTerms::kTtlMax) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("ttl ", absl::FormatDuration(terms.ttl), " is outside 1s to ",
                                                absl::FormatDuration(JoinTokenTerms::kTtlMax))),
        "TOKEN_TTL");
  }
  if (terms.node.size() > kNodeBytesMax) return absl::InvalidArgumentError("node has more than 253 bytes");
  return absl::OkStatus();
}

}  // namespace meshca
