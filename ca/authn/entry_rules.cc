#include "ca/authn/entry_rules.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/selector.h"
#include "ca/authn/selector_kind.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/identity/node_name.h"
#include "ca/x509/digest.h"
#include "ca/x509/dns_name.h"
#include "ca/x509/encoding.h"

namespace meshca {
namespace {

constexpr size_t kEntryIdBytesMax = 64;

absl::Status CheckEntryId(const std::string& id) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (id.size() <= kEntryIdBytesMax && std::all_of(id.begin(), id.end(), allowed)) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError("id must be 1-64 letters, digits, '-', '_' or '.'"), "ENTRY_ID");
}

absl::Status CompleteNodes(RegistrationEntry& entry) {
  for (const std::string& glob : entry.nodes) MESHCA_RETURN_IF_ERROR(CheckNodeGlob(glob));
  std::sort(entry.nodes.begin(), entry.nodes.end());
  entry.nodes.erase(std::unique(entry.nodes.begin(), entry.nodes.end()), entry.nodes.end());
  if (entry.nodes.size() <= kEntryNodesMax) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError(absl::StrCat("nodes: an entry names at most ", kEntryNodesMax,
                                                            " patterns; one may fit many nodes: web-*")),
                    "ENTRY_NODES");
}

// A hint is shown to people by programs that may know no better than to print it.
absl::Status CheckHint(const std::string& hint) {
  if (hint.size() <= kEntryHintBytesMax && Printable(hint) == hint) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError(absl::StrCat("hint must be at most ", kEntryHintBytesMax,
                                                            " bytes of UTF-8 without control characters")),
                    "ENTRY_HINT");
}

absl::Status CheckJwtTtl(absl::Duration ttl) {
  if (ttl >= absl::ZeroDuration() && ttl <= kJwtTtlMax) return absl::OkStatus();
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("jwt_ttl ", absl::FormatDuration(ttl), " is outside 0s (the default) to ",
                                              absl::FormatDuration(kJwtTtlMax))),
      "JWT_TTL");
}

// The same entry gets the same id wherever it is applied.
std::string DerivedId(const RegistrationEntry& entry) {
  std::string key = absl::StrCat(entry.spiffe_id.uri(), "\n", absl::StrJoin(entry.selectors, "\n"));
  for (const std::string& glob : entry.nodes) absl::StrAppend(&key, "\nnode ", glob);
  return HexLower(absl::string_view(Sha256(key)).substr(0, 8));
}

}  // namespace

absl::Status CompleteEntry(const TrustDomain& trust_domain, RegistrationEntry& entry) {
  if (!entry.spiffe_id.MemberOf(trust_domain) || !entry.spiffe_id.has_path()) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("SPIFFE ID ", entry.spiffe_id.uri(),
                                                " is no workload's ID of trust domain ", trust_domain.name())),
        "SPIFFE_ID_TRUST_DOMAIN");
  }
  if (IsAgentId(entry.spiffe_id)) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat(
                          "SPIFFE ID ", entry.spiffe_id.uri(),
                          " is that of a node's agent, which joins by a token: meshca token create --node NAME")),
                      "SPIFFE_ID_INVALID");
  }
  MESHCA_ASSIGN_OR_RETURN(entry.selectors, NormaliseSelectors(entry.selectors));
  for (const std::string& text : entry.selectors) {
    MESHCA_ASSIGN_OR_RETURN(const Selector selector, Selector::Parse(text));
    const std::string fault = selector.kind->WhyFitsNobody(selector.value, OverflowIds::OfKernel());
    if (fault.empty()) continue;
    return WithReason(absl::InvalidArgumentError(absl::StrCat("selector \"", text, "\": ", fault)), "SELECTOR_NOBODY");
  }
  for (std::string& name : entry.dns_names) {
    MESHCA_RETURN_IF_ERROR(CheckDnsName(name));
    absl::AsciiStrToLower(&name);
  }
  if (entry.ttl < absl::ZeroDuration()) return absl::InvalidArgumentError("ttl is negative");
  MESHCA_RETURN_IF_ERROR(CompleteNodes(entry));
  MESHCA_RETURN_IF_ERROR(CheckHint(entry.hint));
  MESHCA_RETURN_IF_ERROR(CheckJwtTtl(entry.jwt_ttl));
  MESHCA_RETURN_IF_ERROR(CheckEntryId(entry.id));
  if (entry.id.empty()) entry.id = DerivedId(entry);
  return absl::OkStatus();
}

std::string WhyFitsNobody(const RegistrationEntry& entry) {
  for (const std::string& text : entry.selectors) {
    const absl::StatusOr<Selector> selector = Selector::Parse(text);
    if (!selector.ok()) return std::string(selector.status().message());
    const std::string fault = selector->kind->WhyFitsNobody(selector->value, OverflowIds::OfKernel());
    if (!fault.empty()) return absl::StrCat("selector \"", text, "\": ", fault);
  }
  return "";
}

}  // namespace meshca
