#include "ca/identity/node_key.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

constexpr absl::string_view kPurpose = "meshca: the agent of a node joins again by its key";

// The length goes first: so no two lists of fields make one statement.
void AddField(std::string& statement, absl::string_view field) {
  const uint64_t length = field.size();
  for (int shift = 56; shift >= 0; shift -= 8) statement.push_back(static_cast<char>(length >> shift & 0xff));
  absl::StrAppend(&statement, field);
}

std::string NewToken(absl::string_view node) {
  return absl::StrCat("; join again with a new token: meshca token create --node ", node);
}

}  // namespace

std::string NodeKeyStatement(const TrustDomain& trust_domain, absl::string_view node, absl::string_view challenge,
                             absl::string_view csr) {
  std::string statement;
  for (const absl::string_view field : {kPurpose, absl::string_view(trust_domain.name()), node, challenge, csr}) {
    AddField(statement, field);
  }
  return statement;
}

absl::Status JudgeNodeKey(const NodeRecord& node, const ProvenNodeKey& proven, absl::string_view new_sha256,
                          absl::Time now) {
  if (proven.sha256 != node.key_sha256) return NodeKeyIsNotNewest(node.node);
  // A certificate lives to the end of its last second.
  const absl::Time ended = node.certificate_expires + absl::Seconds(1);
  if (now < ended && new_sha256 != node.key_sha256) {
    return WithReason(
        absl::UnavailableError(absl::StrCat("node ", node.node, ": its agent's certificate lives until ",
                                            Rfc3339Text(node.certificate_expires), ", and it is ", Rfc3339Text(now),
                                            " here. The agent renews by it; if its machine's clock is ahead, set it")),
        "REJOIN_TOO_EARLY");
  }
  if (now >= ended + proven.grace) {
    return WithReason(absl::UnauthenticatedError(absl::StrCat(
                          "node ", node.node, ": its agent's certificate ended at ",
                          Rfc3339Text(node.certificate_expires), ", longer ago than agents.rejoin_grace (",
                          absl::FormatDuration(proven.grace), ") lets it join again by its key", NewToken(node.node))),
                      "REJOIN_TOO_LATE");
  }
  return absl::OkStatus();
}

absl::Status NodeKeyIsNotNewest(absl::string_view node) {
  constexpr absl::string_view kWhy =
      ": the key shown is not that of the newest certificate of its agent: a newer one was issued, another machine has "
      "the name, or the node was forgotten";
  return WithReason(absl::UnauthenticatedError(absl::StrCat("node ", node, kWhy, NewToken(node))),
                    "NODE_KEY_NOT_NEWEST");
}

}  // namespace meshca
