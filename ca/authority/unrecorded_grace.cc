#include "ca/authority/unrecorded_grace.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ca/authority/authority_lookup.h"
#include "ca/authority/exported_authority.h"

namespace meshca {
namespace {

bool MayBeCovered(const std::vector<SigningAuthority>& authorities, absl::string_view id) {
  const SigningAuthority* authority = FindAuthority(authorities, id);
  if (authority == nullptr || authority->tainted || authority->state == AuthorityState::kRetired) return false;
  const SigningAuthority* root = FindAuthority(authorities, authority->root_id);
  return root == nullptr || !root->tainted;
}

}  // namespace

std::string UnrecordedGraceToText(const UnrecordedGrace& grace) {
  return absl::StrCat(absl::ToUnixSeconds(grace.until), " ", absl::StrJoin(grace.authority_ids, ","), " ",
                      absl::CEscape(grace.why));
}

std::optional<UnrecordedGrace> UnrecordedGraceFromText(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(' ', 2));
  UnrecordedGrace grace;
  int64_t until = 0;
  if (parts.size() != 3 || parts[1].empty() || !absl::SimpleAtoi(parts[0], &until) ||
      !absl::CUnescape(parts[2], &grace.why)) {
    return std::nullopt;
  }
  grace.until = absl::FromUnixSeconds(until);
  grace.authority_ids = absl::StrSplit(parts[1], ',');
  return grace;
}

UnrecordedGrace JoinGraces(const UnrecordedGrace& a, const UnrecordedGrace& b) {
  UnrecordedGrace both = a;
  both.until = std::max(a.until, b.until);
  for (const std::string& id : b.authority_ids) {
    if (std::find(both.authority_ids.begin(), both.authority_ids.end(), id) == both.authority_ids.end()) {
      both.authority_ids.push_back(id);
    }
  }
  if (both.why != b.why) absl::StrAppend(&both.why, "; ", b.why);
  return both;
}

std::vector<std::string> AuthoritiesBeforeRestore(const std::vector<SigningAuthority>& authorities) {
  std::vector<std::string> ids;
  for (const SigningAuthority& authority : authorities) {
    // What one signed that was exported, and had not come back by the backup, was never recorded here.
    if (SignsElsewhere(authority)) continue;
    if (authority.role == AuthorityRole::kIssuing && MayBeCovered(authorities, authority.id)) {
      ids.push_back(authority.id);
    }
  }
  return ids;
}

std::optional<UnrecordedGrace> RemainingGrace(const UnrecordedGrace& grace,
                                              const std::vector<SigningAuthority>& authorities, absl::Time newest) {
  if (newest >= grace.until) return std::nullopt;
  UnrecordedGrace left = grace;
  std::erase_if(left.authority_ids, [&](const std::string& id) { return !MayBeCovered(authorities, id); });
  if (left.authority_ids.empty()) return std::nullopt;
  return left;
}

}  // namespace meshca
