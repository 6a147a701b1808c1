#include "ca/identity/node_name.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr absl::string_view kAgentPath = "/meshca/agent/";
constexpr size_t kLabelBytesMax = 63;  // RFC 1035 §2.3.4
constexpr size_t kQuotedBytesMax = 100;

bool IsLabelByte(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; }

// Which rule `name` breaks; "": none.
absl::string_view BrokenRule(absl::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.size() > kNodeNameBytesMax) return "it has more than 253 bytes";
  for (const absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty()) return "it has an empty part beside a dot";
    if (label.size() > kLabelBytesMax) return "a part between dots has more than 63 bytes";
    if (!std::all_of(label.begin(), label.end(), IsLabelByte)) {
      return "only lower-case letters, digits, '-' and '.' may stand in it";
    }
    if (label.front() == '-' || label.back() == '-')
      return "each part between dots begins and ends with a letter or digit";
  }
  return "";
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", PrintableQuoted(text.substr(0, kQuotedBytesMax)),
                      text.size() > kQuotedBytesMax ? "..." : "", "\"");
}

}  // namespace

absl::Status CheckNodeName(absl::string_view name) {
  const absl::string_view broken = BrokenRule(name);
  if (broken.empty()) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError(absl::StrCat("node name ", Quoted(name), ": ", broken)), "NODE_NAME");
}

absl::Status CheckNodeGlob(absl::string_view glob) {
  const auto allowed = [](char c) { return IsLabelByte(c) || c == '.' || c == '*' || c == '?'; };
  if (!glob.empty() && glob.size() <= kNodeNameBytesMax && std::all_of(glob.begin(), glob.end(), allowed)) {
    return absl::OkStatus();
  }
  return WithReason(absl::InvalidArgumentError(absl::StrCat(
                        "node ", Quoted(glob),
                        ": must be 1-253 lower-case letters, digits, '-', '.', '*' (any run) or '?' (any one): a "
                        "node's name, or a pattern over names like web-*")),
                    "NODE_GLOB");
}

absl::StatusOr<SpiffeId> AgentId(const TrustDomain& trust_domain, absl::string_view node) {
  MESHCA_RETURN_IF_ERROR(CheckNodeName(node));
  return SpiffeId::FromParts(trust_domain, absl::StrCat(kAgentPath, node));
}

bool IsAgentId(const SpiffeId& id) { return absl::StartsWith(id.path(), kAgentPath); }

absl::string_view NodeOfAgent(const SpiffeId& id) {
  if (!IsAgentId(id)) return "";
  const absl::string_view node = id.path().substr(kAgentPath.size());
  return BrokenRule(node).empty() ? node : absl::string_view();
}

}  // namespace meshca
