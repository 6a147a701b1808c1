#include "ca/signing_requests/signing_request_judge.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/watch_verdict.h"
#include "ca/base/status.h"
#include "ca/identity/pod_origin.h"

namespace meshca {
namespace {

using SigningKind = SigningVerdict::Kind;

// What our leaves are for, and key encipherment, which clients with RSA keys ask for by habit.
constexpr absl::string_view kUsages[] = {"digital signature", "key encipherment", "server auth", "client auth"};
constexpr size_t kSubjectBytesMax = 300;

SigningVerdict Verdict(SigningKind kind, std::string message, std::string reason = "") {
  return {.kind = kind, .why = {std::move(reason), std::move(message)}};
}
SigningVerdict RefuseFor(std::string reason, std::string message) {
  return Verdict(SigningKind::kRefuse, std::move(message), std::move(reason));
}

std::string QuotedText(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kSubjectBytesMax)), "\"");
}

// Names are judged before anybody approves them; rates and lifetimes are the pipeline's.
class NamesAlone final : public RequestPolicy {
 public:
  explicit NamesAlone(const RequestPolicy* rules) : rules_(rules) {}
  bool AllowsDnsName(const CallerIdentity& caller, const SpiffeId& id, absl::string_view name) const override {
    return rules_ != nullptr && rules_->AllowsDnsName(caller, id, name);
  }
  absl::Status Apply(IssuanceRequest&) override { return absl::OkStatus(); }

 private:
  const RequestPolicy* const rules_;
};

// The service account whose identity the PKCS#10 asks for, and by what; else why it can never be signed.
struct Wanted {
  SpiffeId id;
  AccountName account;
};
std::optional<SigningVerdict> ReadWanted(const SigningRequest& request, const SigningRules& rules, Wanted& wanted) {
  if (request.is_long) {
    return RefuseFor("RequestTooLong",
                     absl::StrCat("the PKCS#10 request is longer than ", SigningRequest::kPkcs10BytesMax, " bytes"));
  }
  for (const std::string& usage : request.usages) {
    if (std::find(std::begin(kUsages), std::end(kUsages), usage) == std::end(kUsages)) {
      return RefuseFor("UsageNotAllowed", absl::StrCat("usage ", QuotedText(usage),
                                                       ": certificates of this signer are for digital signature, key "
                                                       "encipherment, server auth and client auth alone"));
    }
  }
  const absl::StatusOr<Csr> csr = Csr::Parse(request.pkcs10);
  if (!csr.ok()) return RefuseFor("RequestInvalid", std::string(csr.status().message()));
  if (csr->uri_names().size() != 1) {
    return RefuseFor("NoIdentity",
                     "the PKCS#10 request has to ask for exactly one URI name, the SPIFFE ID of a service "
                     "account");
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(csr->uri_names().front());
  if (!id.ok()) return RefuseFor("NoIdentity", std::string(id.status().message()));
  std::optional<AccountName> account = rules.spiffe_id.AccountOf(*id);
  if (!account.has_value()) {
    return RefuseFor("NoIdentity", absl::StrCat(QuotedText(id->uri()),
                                                " is no service account's identity here: those "
                                                "are ",
                                                rules.spiffe_id.text()));
  }
  if (!rules.profile.AllowsKey(csr->public_key().type())) {
    return RefuseFor("UnsupportedKeyType", absl::StrCat(KeyTypeName(csr->public_key().type()),
                                                        " is not among the key types of this CA (leaf.key_types)"));
  }
  wanted = {*std::move(id), *std::move(account)};
  return std::nullopt;
}

SubmittedRequest SubmittedOf(const SigningRequest& request, const Wanted& wanted, const std::string& account_uid,
                             bool is_own) {
  SubmittedRequest submitted;
  CallerIdentity& caller = submitted.caller;
  caller.method = AuthMethod::kSigningRequest;
  caller.subject =
      absl::StrCat("user ", absl::CHexEscape(absl::string_view(request.username).substr(0, kSubjectBytesMax)));
  // Whoever asked for another may have given the certificate to anybody: it lasts as long as the account.
  caller.origin = PodOrigin{wanted.account.namespace_name, wanted.account.account, account_uid,
                            is_own ? request.pod_uid : "", std::string(PodOrigin::kSigningRequest)}
                      .ToOrigin();
  caller.ids = {wanted.id};
  IdentityRights rights;
  rights.id = wanted.id;
  rights.origin = caller.origin;
  // No wish: whoever asks says how long it may be, and gets less where less is the rule.
  rights.lifetime_max = request.expiration;
  caller.rights.push_back(std::move(rights));
  submitted.csr = request.pkcs10;
  submitted.spiffe_id = wanted.id;
  return submitted;
}

// By whom it may be approved. Nothing: it is approved.
std::optional<SigningVerdict> JudgeRequester(const SigningRequest& request, const Wanted& wanted,
                                             const std::string& account_uid, bool is_own, const KnownPods& pods,
                                             const SigningRules& rules, absl::Time now) {
  const std::string account = wanted.account.Text();
  // Whoever approved it: an account that was made again is not the one that asked, and a pod's key goes with the pod.
  if (is_own) {
    if (pods.IsGone(request.user_uid) || (!request.pod_uid.empty() && pods.IsGone(request.pod_uid))) {
      return Verdict(SigningKind::kForget, "the requester's service account or pod was deleted");
    }
    if (request.user_uid != account_uid) {
      return Verdict(SigningKind::kWait,
                     absl::StrCat("service account ", account, " of uid ", QuotedText(request.user_uid),
                                  " is not known, but another one of that name"));
    }
    if (!request.pod_uid.empty()) {
      const std::optional<KnownPod> pod = pods.FindPod(request.pod_uid);
      if (!pod.has_value() || !Lives(*pod, now)) {
        return Verdict(SigningKind::kWait, absl::StrCat("the requester's pod, of uid ", QuotedText(request.pod_uid),
                                                        ", is not known to run"));
      }
    }
  }
  if (request.is_approved) return std::nullopt;
  if (is_own) {
    return Verdict(SigningKind::kApprove, absl::StrCat("asked for by service account ", account, ", whose it is"),
                   "OwnIdentity");
  }
  if (rules.trusted_requesters.contains(request.username)) {
    return Verdict(SigningKind::kApprove,
                   absl::StrCat(QuotedText(request.username), " is in kubernetes.signer_trusted_requesters"),
                   "TrustedRequester");
  }
  return Verdict(
      SigningKind::kAwait,
      absl::StrCat("it asks for the identity of ", account, ", which is not that of ", QuotedText(request.username),
                   ": whoever may approve requests for the signer has to do it (kubectl "
                   "certificate approve ",
                   request.name, ")"));
}

}  // namespace

SigningVerdict JudgeSigningRequest(const SigningRequest& request, const KnownPods& pods, const SigningRules& rules,
                                   absl::Time now) {
  Wanted wanted;
  if (std::optional<SigningVerdict> refused = ReadWanted(request, rules, wanted)) return *std::move(refused);
  const std::string account_uid = pods.AccountUid(wanted.account);
  const bool is_own = request.username == absl::StrCat("system:serviceaccount:", wanted.account.namespace_name, ":",
                                                       wanted.account.account);
  SubmittedRequest submitted = SubmittedOf(request, wanted, account_uid, is_own);
  NamesAlone names(rules.policy);
  if (const absl::Status judged = JudgeRequest(submitted, rules.trust_domain, &names).status(); !judged.ok()) {
    return RefuseFor("NamesNotAllowed", std::string(judged.message()));
  }
  if (pods.Age() > kWatchAgeMax) {
    return Verdict(
        SigningKind::kWait,
        "the cluster's API server has told nothing of its service accounts for too long, and this one may be "
        "gone");
  }
  if (account_uid.empty()) {
    // Who asks for what he would not get anyhow takes no place among those that are tried again and again.
    const bool may_come = request.is_approved || is_own || rules.trusted_requesters.contains(request.username);
    return Verdict(may_come ? SigningKind::kWait : SigningKind::kAwait,
                   absl::StrCat("no service account ", wanted.account.Text(), " is known"));
  }
  if (std::optional<SigningVerdict> verdict = JudgeRequester(request, wanted, account_uid, is_own, pods, rules, now)) {
    return *std::move(verdict);
  }
  SigningVerdict verdict;
  verdict.kind = SigningKind::kSign;
  verdict.submitted = std::move(submitted);
  return verdict;
}

std::optional<SigningReason> SigningRefusalOf(const absl::Status& refused) {
  const std::string reason = ReasonOf(refused);
  const std::string message(refused.message());
  if (reason == "KEY_TYPE") return SigningReason{"UnsupportedKeyType", message};
  if (reason == "LIFETIME") return SigningReason{"LifetimeNotAllowed", message};
  if (reason == "KEY_REVOKED") return SigningReason{"KeyRevoked", message};
  if (absl::IsPermissionDenied(refused) || absl::IsInvalidArgument(refused)) {
    return SigningReason{"IdentityNotAllowed", message};
  }
  return std::nullopt;
}

}  // namespace meshca
