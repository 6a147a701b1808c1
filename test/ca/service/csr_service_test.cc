#include "ca/service/csr_service.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ca/x509/chain_verifier.h"
#include "istio/v1/auth/ca.pb.h"
#include "test/ca/service/fake_rpc.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::istio::v1::auth::IstioCertificateRequest;
using ::istio::v1::auth::IstioCertificateResponse;
using ::testing::HasSubstr;
using ::testing::Not;

class CsrServiceTest : public ServiceTest {
 protected:
  CsrServiceTest() : service(authenticator, *pipeline, clock, SystemEntropy()) { authenticator.answer = Caller(); }

  absl::Status Ask(const IstioCertificateRequest& request) {
    call = std::make_shared<FakeCall>(CsrService::kMethod, request, TlsTestPeer());
    service.CreateCertificate(call);
    return call->Wait();
  }
  IstioCertificateRequest Request() {
    IstioCertificateRequest request;
    request.set_csr(Csr());
    return request;
  }

  FakeAuthenticator authenticator;
  CsrService service;
  std::shared_ptr<FakeCall> call;
};

TEST_F(CsrServiceTest, AnswersOneCertificateAnElementLeafFirstAndTheRootsLast) {
  ASSERT_THAT(Ask(Request()), IsOk());
  const auto answer = call->Answer<IstioCertificateResponse>();
  ASSERT_EQ(answer.cert_chain_size(), 3);
  std::vector<Certificate> chain;
  for (const std::string& element : answer.cert_chain()) {
    const auto certificates = Certificate::ParseAll(Pem(element));
    ASSERT_THAT(certificates, IsOk());
    ASSERT_EQ(certificates->size(), 1u);
    chain.push_back(certificates->front());
  }
  EXPECT_TRUE(chain[0].VerifiesUnder(chain[1]).ok());
  EXPECT_TRUE(chain[1].VerifiesUnder(chain[2]).ok());
  EXPECT_TRUE(chain[2].IsSelfSigned());
  EXPECT_EQ(chain[0].spiffe_id()->uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_EQ(chain[0].public_key(), key->public_key());

  const auto record = store.Find(*chain[0].serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->caller, "jwt test sub=web");
  EXPECT_EQ(record->authority_id, chain[1].spki_sha256_hex());
  EXPECT_EQ(service.Stats().requests, 1u);
  EXPECT_EQ(service.Stats().issued, 1u);
}

TEST_F(CsrServiceTest, GivesTheLifetimeAskedFor) {
  IstioCertificateRequest request = Request();
  request.set_validity_duration(3600);
  ASSERT_THAT(Ask(request), IsOk());
  const auto leaf = Certificate::Parse(Pem(call->Answer<IstioCertificateResponse>().cert_chain(0)));
  EXPECT_EQ(leaf->validity().not_after, clock.Now() + absl::Hours(1));
}

TEST_F(CsrServiceTest, RecordsTheClusterThatTheCallerClaims) {
  const auto asked = std::make_shared<FakeCall>(CsrService::kMethod, Request(), TlsTestPeer());
  asked->headers().Add("clusterid", "Kubernetes");
  service.CreateCertificate(asked);
  ASSERT_THAT(asked->Wait(), IsOk());
  const auto leaf = Certificate::Parse(Pem(asked->Answer<IstioCertificateResponse>().cert_chain(0)));
  const auto record = store.Find(*leaf->serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->caller, "jwt test sub=web clusterid=Kubernetes");
}

TEST_F(CsrServiceTest, HandsTheBearerTokenToTheAuthenticator) {
  const auto asked = std::make_shared<FakeCall>(CsrService::kMethod, Request(), TlsTestPeer());
  asked->headers().Add("authorization", "Bearer opaque");
  service.CreateCertificate(asked);
  EXPECT_THAT(asked->Wait(), IsOk());
  EXPECT_EQ(authenticator.seen.bearer_token.reveal(), "opaque");
}

TEST_F(CsrServiceTest, ACredentialIsAbandonedWhenItsCallerGoesAwayOrItsDeadlinePasses) {
  const auto asked = std::make_shared<FakeCall>(CsrService::kMethod, Request(), TlsTestPeer());
  service.CreateCertificate(asked);
  EXPECT_THAT(asked->Wait(), IsOk());
  EXPECT_EQ(authenticator.seen.source, "192.0.2.7");
  ASSERT_TRUE(authenticator.seen.abandoned);
  EXPECT_FALSE(authenticator.seen.abandoned());
  asked->Cancel();  // a passed deadline is one too (rpc::Call)
  EXPECT_TRUE(authenticator.seen.abandoned());
}

TEST_F(CsrServiceTest, SendsAgentsToTheAgentService) {
  for (const AuthMethod method : {AuthMethod::kJoinToken, AuthMethod::kClientCertificate}) {
    CallerIdentity agent = Caller("/meshca/agent/web-1");
    agent.method = method;
    authenticator.answer = agent;
    const absl::Status refused = Ask(Request());
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("agent of node web-1")));
    EXPECT_THAT(refused, HasReason("AGENT_SERVICE"));
  }
  EXPECT_EQ(service.Stats().issued, 0u);
}

TEST_F(CsrServiceTest, ReadsNothingOfARequestThatTheQueueHasNoRoomFor) {
  IssuancePipeline full(CertificateProfile{}, {.threads = 1, .queued_bulk_max = 0}, *manager, store, clock,
                        SystemEntropy());
  CsrService busy(authenticator, full, clock, SystemEntropy());
  IstioCertificateRequest without_csr;
  const auto asked = std::make_shared<FakeCall>(CsrService::kMethod, without_csr, TlsTestPeer());
  busy.CreateCertificate(asked);
  const absl::Status status = asked->Wait();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("retry")));
  EXPECT_THAT(status, HasReason("QUEUE_FULL"));
  EXPECT_EQ(busy.Stats().turned_away, 1u);
}

// What the client reads of each refusal: the code, the reason and the words that matter.
struct RefusalCase {
  std::string name;
  std::function<void(IstioCertificateRequest&)> change;
  absl::StatusCode code;
  std::string reason;
  std::string words;
};

class CsrServiceRefuses : public CsrServiceTest, public testing::WithParamInterface<RefusalCase> {};

TEST_P(CsrServiceRefuses, WithItsCodeReasonAndWords) {
  IstioCertificateRequest request = Request();
  GetParam().change(request);
  const absl::Status status = Ask(request);
  EXPECT_THAT(status, StatusIs(GetParam().code, HasSubstr(GetParam().words)));
  EXPECT_THAT(status, HasReason(GetParam().reason));
  EXPECT_EQ(*store.CountIssuances(), 0u);
}

void SetMetadata(IstioCertificateRequest& request, const std::string& name, const std::string& value) {
  (*request.mutable_metadata()->mutable_fields())[name].set_string_value(value);
}

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

INSTANTIATE_TEST_SUITE_P(
    BadRequests, CsrServiceRefuses,
    testing::Values(
        RefusalCase{"NoCsr", [](auto& r) { r.clear_csr(); }, kInvalid, "CSR_MISSING", "csr is empty"},
        RefusalCase{"CsrOver64KiB", [](auto& r) { r.set_csr(std::string(64 * 1024 + 1, 'A')); }, kInvalid,
                    "CSR_TOO_LARGE", "65537 bytes"},
        RefusalCase{"Garbage", [](auto& r) { r.set_csr("garbage"); }, kInvalid, "CSR_MALFORMED", "CSR"},
        RefusalCase{"Truncated", [](auto& r) { r.mutable_csr()->resize(r.csr().size() / 2); }, kInvalid,
                    "CSR_MALFORMED", "CSR"},
        RefusalCase{"TrailingGarbage", [](auto& r) { r.mutable_csr()->append("trailing"); }, kInvalid,
                    "CSR_TRAILING_DATA", "follows"},
        RefusalCase{"WrongPem",
                    [](auto& r) { r.set_csr(PemEncode(kPemCertificate, absl::string_view("\x30\x00", 2)).text()); },
                    kInvalid, "CSR_PEM_LABEL", "CERTIFICATE"},
        RefusalCase{"NegativeLifetime", [](auto& r) { r.set_validity_duration(-1); }, kInvalid, "LIFETIME", "negative"},
        RefusalCase{"TenYears", [](auto& r) { r.set_validity_duration(10 * 365 * 86400); }, kInvalid, "LIFETIME",
                    "lifetime"},
        RefusalCase{"LongestLifetimeThereIs",
                    [](auto& r) { r.set_validity_duration(std::numeric_limits<int64_t>::max()); }, kInvalid, "LIFETIME",
                    "lifetime"},
        RefusalCase{"OtherSigner", [](auto& r) { SetMetadata(r, "CertSigner", "vault"); }, kInvalid,
                    "CERT_SIGNER_UNKNOWN", "CertSigner"},
        RefusalCase{"ImpersonatedIdentityIsNoSpiffeId",
                    [](auto& r) { SetMetadata(r, "ImpersonatedIdentity", "spiffe://cluster.local/a/../b"); }, kInvalid,
                    "SPIFFE_ID_INVALID", "ImpersonatedIdentity"},
        RefusalCase{
            "ImpersonatedIdentityIsANumber",
            [](auto& r) { (*r.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_number_value(1); },
            kInvalid, "METADATA_INVALID", "string"},
        RefusalCase{
            "SomebodyElse",
            [](auto& r) { SetMetadata(r, "ImpersonatedIdentity", "spiffe://cluster.local/ns/default/sa/other"); },
            kDenied, "SPIFFE_ID_NOT_ALLOWED", "sa/other"}),
    [](const auto& info) { return info.param.name; });

TEST_F(CsrServiceTest, RefusesBytesThatAreNoRequest) {
  const auto asked = std::make_shared<FakeCall>(CsrService::kMethod, IstioCertificateRequest(), TlsTestPeer());
  asked->set_request_bytes("\xff\xff\xff");
  service.CreateCertificate(asked);
  EXPECT_THAT(asked->Wait(), StatusIs(kInvalid, HasSubstr("IstioCertificateRequest")));
}

// What the layers below answer, and what a client may see of it.
struct EdgeCase {
  std::string name;
  absl::Status answer;
  absl::StatusCode code;
};

class CsrServiceEdge : public CsrServiceTest, public testing::WithParamInterface<EdgeCase> {};

TEST_P(CsrServiceEdge, OfAnAuthenticator) {
  authenticator.answer = GetParam().answer;
  const absl::Status status = Ask(Request());
  EXPECT_THAT(status, StatusIs(GetParam().code));
  if (GetParam().code == absl::StatusCode::kInternal) {
    EXPECT_THAT(std::string(status.message()), HasSubstr("request id"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret detail")));
  }
}

TEST_P(CsrServiceEdge, OfTheDatabase) {
  store.FailWrites(GetParam().answer);
  const absl::StatusCode code = Ask(Request()).code();
  EXPECT_TRUE(code == GetParam().code || code == absl::StatusCode::kUnavailable) << CodeName(code);
  EXPECT_EQ(service.Stats().issued, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Codes, CsrServiceEdge,
    testing::Values(
        EdgeCase{"Unauthenticated", absl::UnauthenticatedError("x"), absl::StatusCode::kUnauthenticated},
        EdgeCase{"PermissionDenied", absl::PermissionDeniedError("x"), kDenied},
        EdgeCase{"ResourceExhausted", absl::ResourceExhaustedError("x"), absl::StatusCode::kResourceExhausted},
        EdgeCase{"Unavailable", absl::UnavailableError("x"), absl::StatusCode::kUnavailable},
        EdgeCase{"FailedPreconditionIsNever", absl::FailedPreconditionError("x"), absl::StatusCode::kUnavailable},
        EdgeCase{"InternalHidesItsDetail", absl::InternalError("secret detail"), absl::StatusCode::kInternal},
        EdgeCase{"DataLossHidesItsDetail", absl::DataLossError("secret detail"), absl::StatusCode::kInternal}),
    [](const auto& info) { return info.param.name; });

TEST_F(CsrServiceTest, CountsAsIstiodDoes) {
  authenticator.answer = absl::UnauthenticatedError("no");
  EXPECT_FALSE(Ask(Request()).ok());
  authenticator.answer = Caller();
  IstioCertificateRequest request = Request();
  request.set_csr("garbage");
  EXPECT_FALSE(Ask(request).ok());
  authenticator.answer = Caller("/somebody/else");
  EXPECT_FALSE(Ask(Request()).ok());
  authenticator.answer = Caller();
  store.FailWrites(absl::UnavailableError("disk full"));
  EXPECT_FALSE(Ask(Request()).ok());
  store.FailWrites(absl::OkStatus());
  EXPECT_TRUE(Ask(Request()).ok());
  const CsrStats stats = service.Stats();
  EXPECT_EQ(stats.requests, 5u);
  EXPECT_EQ(stats.authentication_failures, 1u);
  EXPECT_EQ(stats.csr_parsing_errors, 1u);
  EXPECT_EQ(stats.id_extraction_errors, 1u);
  EXPECT_EQ(stats.csr_sign_errors, 1u);
  EXPECT_EQ(stats.issued, 1u);
}

}  // namespace
}  // namespace meshca
