#include "ca/authority/trust_bundle.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace meshca {
namespace {

template <typename T>
bool LacksOneOf(const std::vector<T>& before, const std::vector<T>& after) {
  return std::any_of(before.begin(), before.end(),
                     [&after](const T& one) { return std::find(after.begin(), after.end(), one) == after.end(); });
}

}  // namespace

std::string TrustBundle::ToPem() const {
  std::string pem;
  for (const Certificate& root : roots) absl::StrAppend(&pem, root.pem().text());
  return pem;
}

bool HaveSameContent(const TrustBundle& a, const TrustBundle& b) {
  return a.trust_domain == b.trust_domain && a.roots == b.roots && a.jwt_keys == b.jwt_keys;
}

bool LosesAuthority(const TrustBundle& before, const TrustBundle& after) {
  return LacksOneOf(before.roots, after.roots) || LacksOneOf(before.jwt_keys, after.jwt_keys);
}

absl::Status CheckFollows(const TrustBundle& before, const TrustBundle& after) {
  if (!(after.trust_domain == before.trust_domain)) {
    return absl::InternalError(absl::StrCat("trust bundle of ", after.trust_domain.name(), " in place of one of ",
                                            before.trust_domain.name()));
  }
  if (after.sequence_number < before.sequence_number) {
    return absl::InternalError(absl::StrCat("trust bundle ", after.sequence_number, " in place of ",
                                            before.sequence_number, ": its number only grows"));
  }
  if (after.sequence_number == before.sequence_number && !HaveSameContent(before, after)) {
    return absl::InternalError(absl::StrCat("trust bundle ", after.sequence_number,
                                            " has other content than it had: that takes a new number"));
  }
  return absl::OkStatus();
}

}  // namespace meshca
