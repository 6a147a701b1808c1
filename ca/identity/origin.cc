#include "ca/identity/origin.h"

#include "absl/strings/str_cat.h"

namespace meshca {

absl::string_view OriginKindName(OriginKind kind) {
  switch (kind) {
    case OriginKind::kUnknown: return "unknown";
    case OriginKind::kEntry: return "entry";
    case OriginKind::kJoinToken: return "join-token";
    case OriginKind::kJwtIssuer: return "jwt-issuer";
    case OriginKind::kOperator: return "operator";
    case OriginKind::kPublished: return "published";
    case OriginKind::kPod: return "pod";
  }
  return "unknown";
}

std::string OriginText(const Origin& origin) {
  if (origin.reference.empty()) return std::string(OriginKindName(origin.kind));
  return absl::StrCat(OriginKindName(origin.kind), " ", origin.reference);
}

}  // namespace meshca
