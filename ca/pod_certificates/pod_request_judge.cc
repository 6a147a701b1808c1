#include "ca/pod_certificates/pod_request_judge.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authn/watch_verdict.h"
#include "ca/base/status.h"
#include "ca/identity/pod_origin.h"
#include "ca/pod_certificates/pod_certificate_terms.h"
#include "ca/pod_certificates/proof_of_possession.h"
#include "ca/x509/csr.h"

namespace meshca {
namespace {

using Kind = PodVerdict::Kind;

constexpr char kUnsupportedKeyType[] = "UnsupportedKeyType";

PodVerdict Deny(PodDenial denial) { return {Kind::kDeny, {}, std::move(denial), ""}; }
PodVerdict Wait(std::string why) { return {Kind::kWait, {}, {}, std::move(why)}; }
PodVerdict AwaitAnother(std::string why) { return {Kind::kAwait, {}, {}, std::move(why)}; }
PodVerdict Forget(std::string why) { return {Kind::kForget, {}, {}, std::move(why)}; }

// As `keyType` of a podCertificate volume says it; "": a kubelet makes no such key.
absl::string_view KubeletName(KeyType type) {
  switch (type) {
    case KeyType::kEcP256: return "ECDSAP256";
    case KeyType::kEcP384: return "ECDSAP384";
    case KeyType::kEcP521: return "ECDSAP521";
    case KeyType::kEd25519: return "ED25519";
    case KeyType::kRsa3072: return "RSA3072";
    case KeyType::kRsa4096: return "RSA4096";
    case KeyType::kRsa2048: break;
  }
  return "";
}

PodDenial UnsupportedKey(absl::string_view what, const CertificateProfile& profile) {
  std::vector<absl::string_view> names;
  for (const KeyType type : profile.key_types) {
    if (const absl::string_view name = KubeletName(type); !name.empty()) names.push_back(name);
  }
  return {kUnsupportedKeyType,
          names.empty() ? absl::StrCat(what, "; leaf.key_types of this CA names no key type that a kubelet makes")
                        : absl::StrCat(what, "; a key type that works: ", absl::StrJoin(names, ", "))};
}

std::string Quoted(absl::string_view text) { return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 300)), "\""); }

// The key, whose possession was proved. Nothing: `denial` says why not.
std::optional<PublicKey> KeyOf(const PodRequest& request, const CertificateProfile& profile, PodDenial& denial) {
  absl::StatusOr<PublicKey> key = absl::InternalError("");
  if (!request.stub_pkcs10.empty()) {
    absl::StatusOr<Csr> stub = Csr::Parse(request.stub_pkcs10);
    key = stub.ok() ? absl::StatusOr<PublicKey>(stub->public_key()) : stub.status();
  } else {
    key = PublicKey::FromSpki(request.pkix_public_key);
    if (key.ok()) {
      if (absl::Status proof = CheckProofOfPossession(*key, request.pod_uid, request.proof_of_possession); !proof.ok())
        key = std::move(proof);
    }
  }
  if (!key.ok()) {
    const std::string reason = ReasonOf(key.status());
    const bool of_type = reason == "CSR_KEY_UNSUPPORTED" || reason == "CSR_KEY_WEAK" || reason == "KEY_UNSUPPORTED" ||
                         reason == "KEY_WEAK";
    denial = of_type ? UnsupportedKey(key.status().message(), profile)
                     : PodDenial{"InvalidPublicKey", std::string(key.status().message())};
    return std::nullopt;
  }
  if (!profile.AllowsKey(key->type())) {
    denial = UnsupportedKey(absl::StrCat(KeyTypeName(key->type()), " is not among the key types of this CA"), profile);
    return std::nullopt;
  }
  return *std::move(key);
}

// In what the request's word and the watch's differ, as a sentence; "": in nothing.
std::string MismatchOf(const PodRequest& request, const KnownPod& pod) {
  const auto differs = [](absl::string_view what, absl::string_view said, absl::string_view known) -> std::string {
    if (said == known) return "";
    return absl::StrCat("the request names ", what, " ", Quoted(said), ", and the pod of that uid has ", Quoted(known));
  };
  for (std::string mismatch :
       {differs("namespace", request.namespace_name, pod.account.namespace_name),
        differs("pod", request.pod_name, pod.name), differs("service account", request.account, pod.account.account),
        pod.node.empty() ? "" : differs("node", request.node, pod.node)}) {
    if (!mismatch.empty()) return mismatch;
  }
  return "";
}

// The pod lives, and is the one that the request says: nothing.
std::optional<PodVerdict> JudgePod(const PodRequest& request, const PodFacts& facts, absl::Time now) {
  if (request.created < facts.guarded_since) {
    // However many there are, they take no place among those that can be signed.
    return AwaitAnother(
        "it was created before the admission policy took hold, so it may be a stranger's: the kubelet asks anew within "
        "a quarter of an hour, or when it is restarted");
  }
  const std::string pod_text = absl::StrCat("pod ", request.namespace_name, "/", request.pod_name);
  if (facts.age > kWatchAgeMax) {
    return Wait("the cluster's API server has told nothing of its pods for too long, and this one may be gone");
  }
  if (facts.is_gone) return Forget(absl::StrCat(pod_text, " or its service account was deleted"));
  if (!facts.pod.has_value()) {
    return Wait(absl::StrCat("no pod of uid ", Quoted(request.pod_uid), " is known yet (", pod_text, ")"));
  }
  if (const std::string mismatch = MismatchOf(request, *facts.pod); !mismatch.empty()) {
    return Deny({"PodMismatch", mismatch});
  }
  if (!Lives(*facts.pod, now)) return Deny({"PodEnded", absl::StrCat(pod_text, " has ended")});
  if (facts.pod->node.empty()) return Wait(absl::StrCat("no node of ", pod_text, " is known yet"));
  // An account of that name may have been made anew, and what the watch knows may be what was there before.
  if (facts.account_uid != request.account_uid) {
    return Wait(absl::StrCat("service account ", request.namespace_name, "/", request.account, " of uid ",
                             Quoted(request.account_uid), " is not known",
                             facts.account_uid.empty() ? "" : ", but another one of that name"));
  }
  return std::nullopt;
}

SubmittedRequest ToSubmitted(const PodRequest& request, SpiffeId id, PublicKey key, const CertificateProfile& profile) {
  SubmittedRequest submitted;
  CallerIdentity& caller = submitted.caller;
  caller.method = AuthMethod::kPodCertificate;
  caller.subject = absl::StrCat("kubelet of node ", request.node, " for service account ", request.namespace_name, "/",
                                request.account);
  // As when the pod asks by its own token: its newest certificate counts in place of those before.
  caller.instance = absl::StrCat("pod ", request.namespace_name, "/", request.pod_name);
  caller.origin = PodOrigin{request.namespace_name, request.account, request.account_uid, request.pod_uid,
                            std::string(PodOrigin::kNoToken)}
                      .ToOrigin();
  caller.ids = {id};
  IdentityRights rights;
  rights.id = std::move(id);
  rights.origin = caller.origin;
  // No wish: the kubelet says how long it may be, and gets less where less is the rule.
  rights.lifetime_max = LongestLifetime(profile, request.max_expiration);
  caller.rights.push_back(std::move(rights));
  // Of the PKCS#10 nothing but the key counts, and its possession was proved to the judge.
  submitted.public_key = std::move(key);
  return submitted;
}

}  // namespace

PodFacts FactsOf(const PodRequest& request, const KnownPods& pods) {
  PodFacts facts;
  facts.age = pods.Age();
  facts.pod = pods.FindPod(request.pod_uid);
  facts.is_gone = pods.IsGone(request.pod_uid) || pods.IsGone(request.account_uid);
  facts.account_uid = pods.AccountUid({request.namespace_name, request.account});
  return facts;
}

PodVerdict JudgePodRequest(const PodRequest& request, const PodFacts& facts, const ServiceAccountTemplate& spiffe_id,
                           const CertificateProfile& profile, absl::Time now) {
  if (!request.user_annotations.empty()) {
    return Deny({"InvalidUnverifiedUserAnnotations",
                 absl::StrCat("this signer knows no userAnnotations, so ", Quoted(request.user_annotations.front()),
                              " has no meaning: take it out of the volume")});
  }
  if (request.max_expiration < kPodLifeMin) {
    return Deny({"InvalidMaxExpiration", "maxExpirationSeconds is less than an hour, 3600"});
  }
  PodDenial denial;
  std::optional<PublicKey> key = KeyOf(request, profile, denial);
  if (!key.has_value()) return Deny(std::move(denial));
  if (std::optional<PodVerdict> verdict = JudgePod(request, facts, now)) return *std::move(verdict);
  absl::StatusOr<SpiffeId> id = spiffe_id.IdOf({request.namespace_name, request.account});
  if (!id.ok()) return Deny({"NoIdentity", std::string(id.status().message())});
  PodVerdict verdict;
  verdict.kind = Kind::kSign;
  verdict.submitted = ToSubmitted(request, *std::move(id), *std::move(key), profile);
  return verdict;
}

std::optional<PodDenial> DenialOf(const absl::Status& refused, const CertificateProfile& profile) {
  const std::string reason = ReasonOf(refused);
  if (reason == "KEY_TYPE") return UnsupportedKey(refused.message(), profile);
  if (reason == "LIFETIME") return PodDenial{"LifetimeNotAllowed", std::string(refused.message())};
  if (reason == "KEY_REVOKED") return PodDenial{"KeyRevoked", std::string(refused.message())};
  if (absl::IsPermissionDenied(refused) || absl::IsInvalidArgument(refused)) {
    return PodDenial{"IdentityNotAllowed", std::string(refused.message())};
  }
  return std::nullopt;
}

}  // namespace meshca
