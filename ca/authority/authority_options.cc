#include "ca/authority/authority_options.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status LifetimeIsWrong(absl::string_view what, absl::Duration is, absl::string_view rule, absl::Duration other) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat(what, " ", absl::FormatDuration(is), " is ", rule, " ",
                                                            absl::FormatDuration(other))),
                    "LIFETIME_INVALID");
}

}  // namespace

absl::Status CheckAuthorityOptions(const AuthorityOptions& options) {
  if (options.trust_domain.empty()) return absl::InvalidArgumentError("trust domain is empty");
  if (options.leaf_lifetime_max < absl::Seconds(1)) {
    return LifetimeIsWrong("the longest leaf lifetime", options.leaf_lifetime_max, "below", absl::Seconds(1));
  }
  if (options.issuing_lifetime < 2 * options.leaf_lifetime_max) {
    return LifetimeIsWrong("the issuing authority's lifetime", options.issuing_lifetime,
                           "less than twice the longest leaf lifetime", options.leaf_lifetime_max);
  }
  if (options.root_lifetime < options.issuing_lifetime) {
    return LifetimeIsWrong("the root's lifetime", options.root_lifetime, "less than the issuing authority's",
                           options.issuing_lifetime);
  }
  return absl::OkStatus();
}

}  // namespace meshca
