#include "ca/identity/pod_origin.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meshca {
namespace {

constexpr absl::string_view kNoPod = "-";
constexpr size_t kPartsMax = 4;

}  // namespace

Origin PodOrigin::ToOrigin() const {
  return {OriginKind::kPod, absl::StrCat(namespace_name, "/", account, " ", account_uid, " ",
                                         pod_uid.empty() ? kNoPod : absl::string_view(pod_uid), " ", issuer)};
}

std::optional<PodOrigin> PodOrigin::From(const Origin& origin) {
  if (origin.kind != OriginKind::kPod) return std::nullopt;
  // The issuer comes last: whatever it holds, it adds no part.
  const std::vector<std::string> parts = absl::StrSplit(origin.reference, absl::MaxSplits(' ', kPartsMax - 1));
  if (parts.size() != kPartsMax ||
      std::any_of(parts.begin(), parts.end(), [](const auto& each) { return each.empty(); }))
    return std::nullopt;
  const std::vector<std::string> names = absl::StrSplit(parts[0], '/');
  if (names.size() != 2 || names[0].empty() || names[1].empty()) return std::nullopt;
  return PodOrigin{names[0], names[1], parts[1], parts[2] == kNoPod ? "" : parts[2], parts[3]};
}

}  // namespace meshca
