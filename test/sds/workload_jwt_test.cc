// FetchJWTSVID and ValidateJWTSVID, and what their requests may hold.
#include "sds/workload_jwt.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/rpc/protobuf_payload.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/workload_request.h"
#include "spiffe/workload/workload.pb.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Signs with a key of its own, for five minutes.
class FakeJwtSource final : public JwtSource {
 public:
  explicit FakeJwtSource(World& world) : world_(world) {}
  void Mint(JwtSvidRequest request, Done done) override {
    {
      MutexLock lock(mutex_);
      ++asked_;
      while (held_) released_.Wait(mutex_);
      if (!why_.ok()) return std::move(done)(why_);
    }
    const absl::Time now = world_.clock.Now();
    MintedJwtSvid minted;
    minted.expires_at = now + absl::Minutes(5);
    minted.token = *MintJwtSvid({request.id, request.audiences, now, minted.expires_at}, *key_, kid_);
    std::move(done)(std::move(minted));
  }
  void FailWith(absl::Status why) {
    MutexLock lock(mutex_);
    why_ = std::move(why);
  }
  // The thread of a Mint waits inside it until Hold(false).
  void Hold(bool hold) {
    MutexLock lock(mutex_);
    held_ = hold;
    released_.NotifyAll();
  }
  int asked() const {
    MutexLock lock(mutex_);
    return asked_;
  }
  JwtKey key() const { return {kid_, key_->public_key()}; }

 private:
  World& world_;
  const std::unique_ptr<SoftwareKey> key_ = *SoftwareKey::Generate(KeyType::kEcP256);
  const std::string kid_ = *JwkThumbprint(key_->public_key());
  mutable Mutex mutex_;
  CondVar released_;
  absl::Status why_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
};

class WorkloadJwtTest : public testing::Test {
 protected:
  WorkloadJwtTest() {
    auto trust = std::make_shared<Trust>();
    trust->version = 5;
    trust->domains.push_back({Domain("td.test"), {RootA().der()}, {source_.key()}});
    world_.trust.Publish(trust);
  }
  ~WorkloadJwtTest() override {
    source_.Hold(false);
    pool_.Stop();
  }

  std::shared_ptr<FakeCall> Call(const google::protobuf::MessageLite& request, uint32_t uid = 1000) {
    auto call = std::make_shared<FakeCall>(world_.UnixPeer(uid), request.SerializeAsString());
    call->metadata().Add("workload.spiffe.io", "true");
    return call;
  }
  std::shared_ptr<FakeCall> Fetch(std::vector<std::string> audiences, absl::string_view id = "", uint32_t uid = 1000) {
    JWTSVIDRequest request;
    for (std::string& audience : audiences) request.add_audience(std::move(audience));
    request.set_spiffe_id(std::string(id));
    const auto call = Call(request, uid);
    FetchJwtSvids(parts_, call);
    return call;
  }
  std::shared_ptr<FakeCall> Validate(absl::string_view audience, absl::string_view token, uint32_t uid = 1000) {
    ValidateJWTSVIDRequest request;
    request.set_audience(std::string(audience));
    request.set_svid(std::string(token));
    const auto call = Call(request, uid);
    ValidateJwtSvidFor(parts_, call);
    return call;
  }
  template <typename Response>
  Response Answer(const std::shared_ptr<FakeCall>& call) {
    world_.Until([&] { return call->finished(); }, "the answer");
    Response response;
    EXPECT_NE(call->response(), nullptr) << call->error();
    if (call->response() != nullptr) {
      EXPECT_TRUE(rpc::ParseMessage(rpc::MessageOf(call->response()), response).ok());
    }
    return response;
  }
  absl::Status Error(const std::shared_ptr<FakeCall>& call) {
    world_.Until([&] { return call->finished(); }, "the answer");
    EXPECT_EQ(call->response(), nullptr);
    return call->error();
  }

  World world_;
  FakeJwtSource source_{world_};
  FairPool pool_{{.threads = 1, .places_max = 8, .places_per_source_max = 2}};
  WorkloadJwtParts parts_{world_.hub.get(), &pool_, &source_};
};

TEST_F(WorkloadJwtTest, FetchesATokenForEachIdentityOrForTheOneThatIsNamed) {
  const auto all = Answer<JWTSVIDResponse>(Fetch({"db", "cache"}));
  ASSERT_EQ(all.svids_size(), 2);
  EXPECT_EQ(all.svids(0).spiffe_id(), "spiffe://td.test/web");
  EXPECT_EQ(all.svids(1).spiffe_id(), "spiffe://td.test/api");
  const std::vector<JwtKey> keys = {source_.key()};
  for (const JWTSVID& svid : all.svids()) {
    const auto valid = ValidateJwtSvid(
        svid.svid(), "cache", [&](const TrustDomain&) { return &keys; }, world_.clock.Now());
    ASSERT_TRUE(valid.ok()) << valid.status();
    EXPECT_EQ(valid->id.uri(), svid.spiffe_id());
    EXPECT_THAT(valid->audiences, ElementsAre("db", "cache"));
  }
  const auto one = Answer<JWTSVIDResponse>(Fetch({"db"}, "spiffe://td.test/api"));
  ASSERT_EQ(one.svids_size(), 1);
  EXPECT_EQ(one.svids(0).spiffe_id(), "spiffe://td.test/api");
}

TEST_F(WorkloadJwtTest, ATokenValidatesForItsAudienceWithAllItsClaims) {
  const auto minted = Answer<JWTSVIDResponse>(Fetch({"db"}, "spiffe://td.test/api"));
  const auto valid = Answer<ValidateJWTSVIDResponse>(Validate("db", minted.svids(0).svid()));
  EXPECT_EQ(valid.spiffe_id(), "spiffe://td.test/api");
  const auto& claims = valid.claims().fields();
  EXPECT_EQ(claims.at("sub").string_value(), "spiffe://td.test/api");
  EXPECT_EQ(claims.at("aud").list_value().values(0).string_value(), "db");
  EXPECT_EQ(claims.at("exp").number_value(), absl::ToUnixSeconds(world_.clock.Now() + absl::Minutes(5)));
  EXPECT_EQ(claims.at("iat").number_value(), absl::ToUnixSeconds(world_.clock.Now()));
}

TEST_F(WorkloadJwtTest, ATokenThatIsNotValidIsTheRequestsMistake) {
  const std::string token = Answer<JWTSVIDResponse>(Fetch({"db"}, "spiffe://td.test/api")).svids(0).svid();
  std::string forged = token;
  forged[forged.size() - 10] = forged[forged.size() - 10] == 'A' ? 'B' : 'A';
  struct Case {
    const char* audience;
    std::string token;
    const char* reason;
  };
  for (const Case& bad : std::vector<Case>{{"cache", token, "JWT_WRONG_AUDIENCE"},
                                           {"db", forged, "JWT_SIGNATURE_INVALID"},
                                           {"db", "no token", "JWT_MALFORMED"}}) {
    const absl::Status error = Error(Validate(bad.audience, bad.token));
    EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument) << error;
    EXPECT_EQ(ReasonOf(error), bad.reason);
  }
  world_.clock.Advance(absl::Minutes(7));
  EXPECT_EQ(ReasonOf(Error(Validate("db", token))), "JWT_EXPIRED");
  world_.trust.Publish({RootA()});  // the key is out of the trust
  EXPECT_EQ(ReasonOf(Error(Validate("db", token))), "JWT_UNKNOWN_KEY");
}

TEST_F(WorkloadJwtTest, WhoIsEntitledToNothingIsDenied) {
  EXPECT_EQ(ReasonOf(Error(Fetch({"db"}, "", 2000))), "ENTRY_MISSING");
  EXPECT_EQ(ReasonOf(Error(Validate("db", "x", 2000))), "ENTRY_MISSING");
  const absl::Status other = Error(Fetch({"db"}, "spiffe://td.test/db"));
  EXPECT_EQ(other.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(other.message()),
              HasSubstr("meshca entry create spiffe://td.test/db --selector unix:uid:1000"));
  // An operator may have any identity made elsewhere, and has none here.
  EXPECT_EQ(Error(Fetch({"db"}, "", 0)).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Error(Fetch({"db"}, "spiffe://td.test/web", 0)).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(source_.asked(), 0);
}

TEST_F(WorkloadJwtTest, WithoutTheSecurityHeaderNothingIsAnswered) {
  JWTSVIDRequest request;
  request.add_audience("db");
  auto call = std::make_shared<FakeCall>(world_.UnixPeer(1000), request.SerializeAsString());
  FetchJwtSvids(parts_, call);
  EXPECT_EQ(Error(call).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(call->error()), "SECURITY_HEADER_MISSING");
  call = std::make_shared<FakeCall>(world_.UnixPeer(1000), "");
  call->metadata().Add("workload.spiffe.io", "True");  // case matters
  ValidateJwtSvidFor(parts_, call);
  EXPECT_EQ(ReasonOf(Error(call)), "SECURITY_HEADER_MISSING");
}

TEST_F(WorkloadJwtTest, WhereNothingIsMintedItIsUnavailable) {
  source_.FailWith(absl::UnavailableError("no key signs JWT-SVIDs now"));
  EXPECT_EQ(Error(Fetch({"db"})).code(), absl::StatusCode::kUnavailable);
  parts_.source = nullptr;
  EXPECT_EQ(ReasonOf(Error(Fetch({"db"}))), "NO_JWT_KEY");
}

TEST_F(WorkloadJwtTest, ACallerHasAFewPlacesAndOthersHaveTheirs) {
  source_.Hold(true);
  const auto first = Fetch({"db"}), second = Fetch({"db"}), third = Fetch({"db"});
  EXPECT_EQ(Error(third).code(), absl::StatusCode::kResourceExhausted);
  CallerIdentity other;
  other.method = AuthMethod::kUnixPeer;
  other.subject = "uid 3000";
  other.ids = {Id("spiffe://td.test/other")};
  world_.authenticator.Set(3000, other);
  const auto others = Fetch({"db"}, "", 3000);
  EXPECT_FALSE(others->finished()) << "it waits for its turn";
  source_.Hold(false);
  for (const auto& call : {first, second, others}) EXPECT_GE(Answer<JWTSVIDResponse>(call).svids_size(), 1);
}

struct RequestCase {
  const char* name;
  std::vector<std::string> audiences;
  std::string id;
  const char* words;  // "": it is read
};

class JwtRequest : public testing::TestWithParam<RequestCase> {};

TEST_P(JwtRequest, IsReadOrSaysWhatIsWrong) {
  JWTSVIDRequest request;
  for (const std::string& audience : GetParam().audiences) request.add_audience(audience);
  request.set_spiffe_id(GetParam().id);
  const auto ask = ReadJwtSvidRequest(request.SerializeAsString());
  if (*GetParam().words == '\0') {
    ASSERT_TRUE(ask.ok()) << ask.status();
    EXPECT_EQ(ask->audiences, GetParam().audiences);
    return;
  }
  EXPECT_EQ(ask.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ask.status().message()), HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Workload, JwtRequest,
    testing::Values(RequestCase{"One", {"db"}, "", ""},
                    RequestCase{"Sixteen", std::vector<std::string>(16, "db"), "spiffe://td.test/web", ""},
                    RequestCase{"None", {}, "", "none is named"},
                    RequestCase{"Seventeen", std::vector<std::string>(17, "db"), "", "17 are named"},
                    RequestCase{"Empty", {"db", ""}, "", "one is empty"},
                    RequestCase{"TooLong", {std::string(257, 'x')}, "", "257 bytes"},
                    RequestCase{"NoSpiffeId", {"db"}, "web", "FetchJWTSVID"},
                    RequestCase{"TrustDomain", {"db"}, "spiffe://td.test", "a trust domain's"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca::sds
