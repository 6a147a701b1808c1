#include "ca/pod_certificates/pod_request_judge.h"

#include <functional>
#include <memory>
#include <string>

#include "ca/base/status.h"
#include "ca/identity/pod_origin.h"
#include "ca/pod_certificates/pod_certificate_terms.h"
#include "ca/pod_certificates/pod_request_policy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/pod_certificates/pod_request_maker.h"
#include "test/ca/spiffe/test_domain.h"

namespace meshca {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using VerdictKind = PodVerdict::Kind;

const absl::Time kJudgedAt = absl::FromUnixSeconds(1'790'000'000);

// A request that is signed, and what is known of its pod; cases change one thing of them.
struct Judged {
  PodRequest request = RequestForFront(*SoftwareKey::Generate(KeyType::kEcP256));
  PodFacts facts = {.pod = FrontPod(), .is_gone = false, .account_uid = "front-account", .age = absl::Seconds(3)};
  CertificateProfile profile = PodCertificateProfile(CertificateProfile());

  PodVerdict Verdict() const {
    return JudgePodRequest(request, facts,
                           *ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, TestDomain()), profile,
                           kJudgedAt);
  }
};

TEST(PodRequestJudge, SignsForTheAccountOfThePod) {
  const Judged judged;
  const PodVerdict verdict = judged.Verdict();
  ASSERT_EQ(verdict.kind, VerdictKind::kSign) << verdict.why << verdict.denial.message;
  const SubmittedRequest& submitted = verdict.submitted;
  EXPECT_EQ(submitted.caller.method, AuthMethod::kPodCertificate);
  ASSERT_EQ(submitted.caller.ids.size(), 1u);
  const SpiffeId& id = submitted.caller.ids.front();
  EXPECT_EQ(id.uri(), "spiffe://cluster.local/ns/web/sa/front");
  EXPECT_EQ(submitted.caller.subject, "kubelet of node node-1 for service account web/front");
  EXPECT_EQ(submitted.caller.instance, "pod web/front-1");
  EXPECT_FALSE(submitted.caller.IsRenewal());
  const std::optional<PodOrigin> origin = PodOrigin::From(submitted.caller.OriginOf(id));
  ASSERT_TRUE(origin.has_value());
  EXPECT_EQ(*origin, (PodOrigin{"web", "front", "front-account", "front-pod", std::string(PodOrigin::kNoToken)}));
  EXPECT_EQ(submitted.caller.LifetimeMax(id) + judged.profile.backdate, absl::Hours(24));
  EXPECT_EQ(submitted.lifetime, absl::ZeroDuration()) << "it is no wish: less is given where less is the rule";
  EXPECT_THAT(submitted.dns_names, IsEmpty());
}

struct VerdictCase {
  const char* name;
  std::function<void(Judged&)> change;
  VerdictKind kind;
  const char* reason;  // of a denial
  const char* sentence;
};

class PodRequestVerdict : public testing::TestWithParam<VerdictCase> {};

TEST_P(PodRequestVerdict, NamesTheRule) {
  Judged judged;
  GetParam().change(judged);
  const PodVerdict verdict = judged.Verdict();
  EXPECT_EQ(static_cast<int>(verdict.kind), static_cast<int>(GetParam().kind));
  EXPECT_EQ(verdict.denial.reason, GetParam().reason);
  EXPECT_THAT(verdict.why + verdict.denial.message, HasSubstr(GetParam().sentence));
}

PodRequest ByKey(KeyType type) { return RequestForFront(*SoftwareKey::Generate(type)); }

INSTANTIATE_TEST_SUITE_P(
    Pod, PodRequestVerdict,
    testing::Values(
        VerdictCase{"OfAnotherNode", [](Judged& j) { j.request.node = "node-2"; }, VerdictKind::kDeny, "PodMismatch",
                    "names node \"node-2\", and the pod of that uid has \"node-1\""},
        VerdictCase{"OfAnotherAccount", [](Judged& j) { j.request.account = "admin"; }, VerdictKind::kDeny,
                    "PodMismatch", "names service account \"admin\""},
        VerdictCase{"OfAnotherNamespace", [](Judged& j) { j.request.namespace_name = "db"; }, VerdictKind::kDeny,
                    "PodMismatch", "names namespace \"db\""},
        VerdictCase{"OfAnotherName", [](Judged& j) { j.request.pod_name = "front-2"; }, VerdictKind::kDeny,
                    "PodMismatch", "names pod \"front-2\""},
        VerdictCase{"Ended", [](Judged& j) { j.facts.pod->ended = true; }, VerdictKind::kDeny, "PodEnded",
                    "pod web/front-1 has ended"},
        VerdictCase{"DeletedLongAgo", [](Judged& j) { j.facts.pod->deleted_at = kJudgedAt - absl::Minutes(2); },
                    VerdictKind::kDeny, "PodEnded", "has ended"},
        VerdictCase{"BeingDeleted", [](Judged& j) { j.facts.pod->deleted_at = kJudgedAt + absl::Seconds(20); },
                    VerdictKind::kSign, "", ""},
        VerdictCase{"NotKnownYet", [](Judged& j) { j.facts.pod.reset(); }, VerdictKind::kWait, "",
                    "no pod of uid \"front-pod\" is known yet (pod web/front-1)"},
        VerdictCase{"OnNoNodeYet", [](Judged& j) { j.facts.pod->node.clear(); }, VerdictKind::kWait, "",
                    "no node of pod web/front-1"},
        VerdictCase{"AccountNotKnownYet", [](Judged& j) { j.facts.account_uid.clear(); }, VerdictKind::kWait, "",
                    "service account web/front of uid \"front-account\" is not known"},
        VerdictCase{"AccountMadeAnew", [](Judged& j) { j.facts.account_uid = "another"; }, VerdictKind::kWait, "",
                    "but another one of that name"},
        VerdictCase{"BeforeThePolicy", [](Judged& j) { j.facts.guarded_since = j.request.created + absl::Seconds(1); },
                    VerdictKind::kAwait, "", "before the admission policy took hold"},
        VerdictCase{"JustAfterThePolicy", [](Judged& j) { j.facts.guarded_since = j.request.created; },
                    VerdictKind::kSign, "", ""},
        VerdictCase{"Deleted", [](Judged& j) { j.facts.is_gone = true; }, VerdictKind::kForget, "", "was deleted"},
        VerdictCase{"WatchIsOld", [](Judged& j) { j.facts.age = absl::Minutes(6); }, VerdictKind::kWait, "",
                    "told nothing of its pods"},
        VerdictCase{"OldWatchThatNeverListed",
                    [](Judged& j) {
                      j.facts = PodFacts();
                      j.facts.age = absl::InfiniteDuration();
                    },
                    VerdictKind::kWait, "", "told nothing of its pods"}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Asks, PodRequestVerdict,
    testing::Values(
        VerdictCase{"Annotations", [](Judged& j) { j.request.user_annotations = {"a.test/x"}; }, VerdictKind::kDeny,
                    "InvalidUnverifiedUserAnnotations", "\"a.test/x\" has no meaning"},
        VerdictCase{"LessThanAnHour", [](Judged& j) { j.request.max_expiration = absl::Seconds(3599); },
                    VerdictKind::kDeny, "InvalidMaxExpiration", "less than an hour"},
        VerdictCase{"AnHour", [](Judged& j) { j.request.max_expiration = absl::Hours(1); }, VerdictKind::kSign, "", ""},
        VerdictCase{"P384", [](Judged& j) { j.request = ByKey(KeyType::kEcP384); }, VerdictKind::kSign, "", ""},
        VerdictCase{"Ed25519", [](Judged& j) { j.request = ByKey(KeyType::kEd25519); }, VerdictKind::kSign, "", ""},
        VerdictCase{"Rsa3072", [](Judged& j) { j.request = ByKey(KeyType::kRsa3072); }, VerdictKind::kSign, "", ""},
        VerdictCase{"KeyTypeThatIsNotAllowed",
                    [](Judged& j) {
                      j.request = ByKey(KeyType::kEcP384);
                      j.profile.key_types = {KeyType::kEcP256, KeyType::kRsa2048, KeyType::kEd25519};
                    },
                    VerdictKind::kDeny, "UnsupportedKeyType",
                    "ec-p384 is not among the key types of this CA; a key type that works: ECDSAP256, ED25519"},
        VerdictCase{"NoKubeletMakesAnyKeyThatIsAllowed", [](Judged& j) { j.profile.key_types = {KeyType::kRsa2048}; },
                    VerdictKind::kDeny, "UnsupportedKeyType", "names no key type that a kubelet makes"},
        VerdictCase{"BrokenPkcs10", [](Judged& j) { j.request.stub_pkcs10.resize(40); }, VerdictKind::kDeny,
                    "InvalidPublicKey", "CSR"},
        VerdictCase{"NoKey", [](Judged& j) { j.request.stub_pkcs10.clear(); }, VerdictKind::kDeny, "InvalidPublicKey",
                    ""}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    OlderForm, PodRequestVerdict,
    testing::Values(
        VerdictCase{"P256",
                    [](Judged& j) { MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "front-pod", j.request); },
                    VerdictKind::kSign, "", ""},
        VerdictCase{"Ed25519",
                    [](Judged& j) { MakeOlder(*SoftwareKey::Generate(KeyType::kEd25519), "front-pod", j.request); },
                    VerdictKind::kSign, "", ""},
        VerdictCase{"ProofOfAnotherPod",
                    [](Judged& j) { MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "other-pod", j.request); },
                    VerdictKind::kDeny, "InvalidPublicKey", "no signature of pkixPublicKey over the pod's uid"},
        VerdictCase{"ProofByAnotherKey",
                    [](Judged& j) {
                      MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "front-pod", j.request);
                      const auto other = *SoftwareKey::Generate(KeyType::kEcP256);
                      j.request.pkix_public_key = std::string(other->public_key().spki());
                    },
                    VerdictKind::kDeny, "InvalidPublicKey", "no signature"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(PodRequestDenial, OnlyWhatCanNeverEndBetterIsOne) {
  const CertificateProfile profile;
  const auto reason = [&](const absl::Status& status) {
    const std::optional<PodDenial> denial = DenialOf(status, profile);
    return denial.has_value() ? denial->reason : "";
  };
  EXPECT_EQ(reason(WithReason(absl::InvalidArgumentError("ec-p384"), "KEY_TYPE")), "UnsupportedKeyType");
  EXPECT_EQ(reason(WithReason(absl::InvalidArgumentError("too short"), "LIFETIME")), "LifetimeNotAllowed");
  EXPECT_EQ(reason(WithReason(absl::PermissionDeniedError("taken back"), "KEY_REVOKED")), "KeyRevoked");
  EXPECT_EQ(reason(WithReason(absl::PermissionDeniedError("no"), "SPIFFE_ID_NOT_ALLOWED")), "IdentityNotAllowed");
  for (const absl::Status& passes :
       {absl::UnavailableError("database away"), absl::ResourceExhaustedError("CALLER_RATE"),
        absl::InternalError("OpenSSL"), absl::AbortedError(""), absl::FailedPreconditionError("")}) {
    EXPECT_EQ(reason(passes), "") << passes;
  }
}

TEST(PodRequestPolicy, AnHourHasToBeAllowed) {
  PodRequestPolicy policy(nullptr, absl::Minutes(58));
  IssuanceRequest request;
  EXPECT_TRUE(policy.Apply(request).ok());
  request.lifetime_max = absl::Minutes(58);
  EXPECT_TRUE(policy.Apply(request).ok());
  request.lifetime_max = absl::Minutes(57);
  EXPECT_EQ(ReasonOf(policy.Apply(request)), "LIFETIME");
}

}  // namespace
}  // namespace meshca
