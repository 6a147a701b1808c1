#include "ca/authn/claim_template.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kClaimDepthMax = 8;

absl::Status Invalid(absl::string_view text, absl::string_view fault) {
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("template \"", absl::CHexEscape(text.substr(0, 200)), "\": ", fault,
                                              "; such as spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}")),
      "TEMPLATE_INVALID");
}

// `ns`, `a.b.c` or `"kubernetes.io".namespace` into its names; false when it is none of these.
bool ParseClaimPath(absl::string_view text, std::vector<std::string>& names) {
  while (names.size() < kClaimDepthMax) {
    absl::string_view name;
    if (absl::ConsumePrefix(&text, "\"")) {
      const size_t end = text.find('"');
      if (end == absl::string_view::npos) return false;
      name = text.substr(0, end);
      text.remove_prefix(end + 1);
    } else {
      name = text.substr(0, text.find('.'));
      if (absl::StrContains(name, "\"")) return false;
      text.remove_prefix(name.size());
    }
    if (name.empty()) return false;
    names.emplace_back(name);
    if (text.empty()) return true;
    if (!absl::ConsumePrefix(&text, ".")) return false;
  }
  return false;
}

bool IsPathByte(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

}  // namespace

absl::StatusOr<ClaimTemplate> ClaimTemplate::Parse(absl::string_view text, const TrustDomain& trust_domain) {
  ClaimTemplate result;
  result.text_ = std::string(text);
  result.trust_domain_ = trust_domain;
  absl::string_view rest = text;
  if (text.size() > SpiffeId::kBytesMax) return Invalid(text, "longer than 2048 bytes");
  if (!absl::ConsumePrefix(&rest, "spiffe://")) return Invalid(text, "does not begin with spiffe://");
  if (!absl::ConsumePrefix(&rest, "{trust_domain}")) {
    const absl::string_view name = rest.substr(0, rest.find('/'));
    if (!absl::EqualsIgnoreCase(name, trust_domain.name())) {
      return Invalid(
          text, absl::StrCat("the trust domain is not this CA's, ", trust_domain.name(), ": write {trust_domain}"));
    }
    rest.remove_prefix(name.size());
  }
  if (rest.size() < 2 || rest[0] != '/') return Invalid(text, "an ID for a workload has a path");

  // `sample` is the path with a letter for each claim: when it is good, so is every expansion whose claims are path
  // segments, because a claim can neither add a slash nor make a segment empty.
  std::string sample;
  while (!rest.empty()) {
    const size_t open = std::min(rest.find('{'), rest.size());
    if (open > 0) {
      const absl::string_view literal = rest.substr(0, open);
      if (absl::StrContains(literal, "}")) return Invalid(text, "a } without its {");
      absl::StrAppend(&sample, literal);
      result.path_.push_back(Piece{.literal = std::string(literal), .claim = {}, .shown = {}});
    }
    rest.remove_prefix(open);
    if (rest.empty()) break;
    const size_t close = rest.find('}');
    if (close == absl::string_view::npos) return Invalid(text, "a { without its }");
    const absl::string_view name = rest.substr(1, close - 1);
    Piece piece{.literal = {}, .claim = {}, .shown = std::string(name)};
    absl::string_view claim = name;
    if (!absl::ConsumePrefix(&claim, "claims.") || !ParseClaimPath(claim, piece.claim)) {
      return Invalid(text, absl::StrCat("{", name, "} is not {claims.NAME}"));
    }
    result.path_.push_back(std::move(piece));
    sample += 'x';
    rest.remove_prefix(close + 1);
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::FromParts(trust_domain, sample);
  if (!id.ok()) return Invalid(text, id.status().message());
  // The first segment alone says whether an ID is reserved.
  const Piece& first = result.path_.front();
  if (id->IsReserved()) return Invalid(text, "IDs below /meshca are meshca's own");
  const size_t second_segment = first.literal.find('/', 1);
  if (second_segment == std::string::npos && result.path_.size() > 1) {
    return Invalid(text, "a claim in the first part of the path could spell /meshca, which is meshca's own");
  }
  return result;
}

absl::StatusOr<SpiffeId> ClaimTemplate::Expand(const JsonValue& claims) const {
  return ExpandBy([&claims](const std::vector<std::string>& names) -> FoundClaim {
    const JsonValue* value = &claims;
    for (const std::string& name : names) {
      value = value->Find(name);
      if (value == nullptr) return {};
    }
    return {true, value->is_text() ? std::optional<absl::string_view>(value->text) : std::nullopt};
  });
}

absl::StatusOr<SpiffeId> ClaimTemplate::ExpandBy(ClaimFinder find) const {
  std::string path;
  for (const Piece& piece : path_) {
    if (piece.claim.empty()) {
      path += piece.literal;
      continue;
    }
    const FoundClaim found = find(piece.claim);
    if (!found.text.has_value()) {
      return WithReason(
          absl::PermissionDeniedError(absl::StrCat("the token is good but gives no identity: {", piece.shown, "} of ",
                                                   text_, found.is_there ? " is no text" : " is not among its claims")),
          "JWT_CLAIM_MISSING");
    }
    const absl::string_view text = *found.text;
    if (text.empty() || !std::all_of(text.begin(), text.end(), IsPathByte)) {
      return WithReason(absl::PermissionDeniedError(absl::StrCat(
                            "the token is good but gives no identity: {", piece.shown, "} is \"",
                            absl::Utf8SafeCHexEscape(text.substr(0, 100)),
                            "\", and a SPIFFE ID's path has letters, digits, '.', '-' and '_' between its slashes")),
                        "JWT_CLAIM_INVALID");
    }
    absl::StrAppend(&path, text);
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::FromParts(trust_domain_, path);  // a claim may still be ".." or too long
  if (id.ok() && !id->IsReserved()) return id;
  return WithReason(absl::PermissionDeniedError(
                        absl::StrCat("the token is good but gives no identity: ",
                                     id.ok() ? "IDs below /meshca are reserved" : std::string(id.status().message()))),
                    "JWT_CLAIM_INVALID");
}

}  // namespace meshca
