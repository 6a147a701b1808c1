#include "ca/issuance/issuance_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/identity/entry_advice.h"
#include "ca/identity/node_name.h"
#include "ca/issuance/request_policy.h"
#include "ca/x509/dns_name.h"

namespace meshca {
namespace {

absl::Status Denied(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::PermissionDeniedError(what), reason);
}

absl::Status Invalid(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(what), reason);
}

std::string Quoted(absl::string_view text) { return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 300)), "\""); }

// The ID the request is for: the one it names, else the CSR's, else the caller's first.
absl::StatusOr<SpiffeId> WantedId(const SubmittedRequest& submitted, const Csr* csr) {
  const CallerIdentity& caller = submitted.caller;
  if (csr != nullptr && csr->uri_names().size() > 1) {
    return Invalid("CSR_URI_NAMES", absl::StrCat("workload CSR: asks for ", csr->uri_names().size(),
                                                 " URI names; an X.509-SVID has exactly one"));
  }
  if (csr != nullptr && !csr->uri_names().empty()) {
    absl::StatusOr<SpiffeId> named = SpiffeId::Parse(csr->uri_names().front());
    if (!named.ok()) return Annotate(named.status(), "workload CSR");
    if (!submitted.spiffe_id.empty() && submitted.spiffe_id != *named) {
      return Denied("SPIFFE_ID_NOT_ALLOWED", absl::StrCat("workload CSR: asks for ", named->uri(),
                                                          ", but the request is for ", submitted.spiffe_id.uri()));
    }
    return named;
  }
  if (!submitted.spiffe_id.empty()) return submitted.spiffe_id;
  if (caller.ids.empty()) {
    return Denied("NO_IDENTITY", caller.any_id_of_trust_domain
                                     ? "the request names no SPIFFE ID: put one into the CSR's URI name"
                                     : absl::StrCat("caller (", caller.subject, ") may hold no identity"));
  }
  return caller.ids.front();
}

absl::Status CheckId(const CallerIdentity& caller, const SpiffeId& id, const TrustDomain& domain) {
  if (!id.has_path()) {
    return Invalid("SPIFFE_ID_INVALID", absl::StrCat("SPIFFE ID: a workload's has a path: ", Quoted(id.uri())));
  }
  if (!id.MemberOf(domain)) {
    return Denied("SPIFFE_ID_NOT_ALLOWED",
                  absl::StrCat("this CA signs for trust domain ", domain.name(), " alone, not for ", id.uri()));
  }
  if (caller.MayHold(id)) return absl::OkStatus();
  // A caller on the API socket holds what its entries say: the reader learns which one is missing.
  absl::string_view uid = caller.subject;
  const bool entry_helps =
      caller.method == AuthMethod::kUnixPeer && absl::ConsumePrefix(&uid, "uid ") && !id.IsReserved();
  const std::string selector = absl::StrCat("unix:uid:", uid);
  if (caller.method == AuthMethod::kServiceAccount) {
    return Denied(
        "SPIFFE_ID_NOT_ALLOWED",
        absl::StrCat("caller (", caller.subject, ") may not hold ", id.uri(),
                     "; a service account holds its own identity, and one of kubernetes.trusted_node_accounts "
                     "those of the pods that live on the node of the pod that asks"));
  }
  return Denied("SPIFFE_ID_NOT_ALLOWED",
                absl::StrCat("caller (", caller.subject, ") may not hold ", id.uri(), entry_helps ? "; " : "",
                             entry_helps ? EntryAdvice().Say("let it", id.uri(), selector) : ""));
}

// Adds `name`, lower-case and once, if the caller or the rules of the ID allow it.
absl::Status AddDnsName(const CallerIdentity& caller, const RequestPolicy* policy, absl::string_view name,
                        IssuanceRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckDnsName(name));
  std::string lower = absl::AsciiStrToLower(name);
  if (!caller.MayHaveDnsName(request.spiffe_id, lower) &&
      (policy == nullptr || !policy->AllowsDnsName(caller, request.spiffe_id, lower))) {
    return Denied("DNS_NAME_NOT_ALLOWED", absl::StrCat("caller (", caller.subject, ") may not have the DNS name ",
                                                       lower, " as ", request.spiffe_id.uri()));
  }
  std::vector<std::string>& names = request.dns_names;
  if (std::find(names.begin(), names.end(), lower) == names.end()) names.push_back(std::move(lower));
  return absl::OkStatus();
}

absl::Status JudgeCsr(const Csr& csr) {
  if (csr.asks_for_ca()) {
    return Invalid("CSR_ASKS_FOR_CA",
                   "workload CSR: asks for a certificate authority (cA TRUE or keyCertSign); workloads get none");
  }
  if (!csr.other_names().empty()) {
    return Denied("NAME_NOT_ALLOWED", absl::StrCat("workload CSR: nobody may have the name ", csr.other_names().front(),
                                                   "; only a SPIFFE ID and DNS names are given"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IssuanceRequest> JudgeRequest(SubmittedRequest submitted, const TrustDomain& domain,
                                             RequestPolicy* policy) {
  IssuanceRequest request;
  absl::StatusOr<Csr> csr = absl::UnknownError("none");
  if (submitted.public_key.empty()) {
    csr = Csr::Parse(submitted.csr);
    if (!csr.ok()) {
      const absl::Status& why = csr.status();  // begins with "CSR: "
      return WithReason(absl::Status(why.code(), absl::StrCat("workload ", why.message())), ReasonOf(why));
    }
    if (!submitted.csr_key_alone) MESHCA_RETURN_IF_ERROR(JudgeCsr(*csr));
    request.public_key = csr->public_key();
  } else {
    MESHCA_CHECK(submitted.csr.empty());  // two keys in one request: whose would be signed?
    request.public_key = submitted.public_key;
  }
  const bool names_count = csr.ok() && !submitted.csr_key_alone;
  MESHCA_ASSIGN_OR_RETURN(request.spiffe_id, WantedId(submitted, names_count ? &*csr : nullptr));
  MESHCA_RETURN_IF_ERROR(CheckId(submitted.caller, request.spiffe_id, domain));
  // The key of a node's agent is made on its node: it never is one that this process holds for a subscriber.
  if (!csr.ok() && IsAgentId(request.spiffe_id)) {
    return Denied("SPIFFE_ID_NOT_ALLOWED", absl::StrCat(request.spiffe_id.uri(),
                                                        " is the identity of a node's agent, "
                                                        "which makes its own key and asks by a CSR"));
  }
  const auto add_all = [&](const std::vector<std::string>& names) -> absl::Status {
    for (const std::string& name : names) {
      MESHCA_RETURN_IF_ERROR(AddDnsName(submitted.caller, policy, name, request));
    }
    return absl::OkStatus();
  };
  if (names_count) MESHCA_RETURN_IF_ERROR(add_all(csr->dns_names()));
  MESHCA_RETURN_IF_ERROR(add_all(submitted.dns_names));
  request.lifetime = submitted.lifetime;
  request.lifetime_max = submitted.caller.LifetimeMax(request.spiffe_id);
  request.caller = std::move(submitted.caller);
  request.claimed_cluster = std::move(submitted.claimed_cluster);
  if (policy != nullptr) MESHCA_RETURN_IF_ERROR(policy->Apply(request));
  return request;
}

}  // namespace meshca
