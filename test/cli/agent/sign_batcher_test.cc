// Certificates from the CA: gathered, answered each alone, and none believed unseen.
#include "cli/agent/sign_batcher.h"

#include <gmock/gmock.h>

#include "ca/base/status.h"
#include "ca/x509/csr.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::HasSubstr;

constexpr char kWebId[] = "spiffe://cluster.local/web";

class SignBatcherTest : public testing::Test {
 protected:
  SignBatcherTest() {
    EXPECT_THAT(trust_.Adopt(authority_.keys().Trust()), IsOk());
    executor_.Start();
  }
  ~SignBatcherTest() override { executor_.Shutdown(); }

  Awaited<absl::StatusOr<sds::Svid>> Obtain(const std::string& id = kWebId) {
    sds::SvidRequest request;
    request.id = *SpiffeId::Parse(id);
    request.caller.method = AuthMethod::kUnixPeer;
    request.caller.ids = {request.id};
    request.caller.rights.push_back({request.id, {}, absl::ZeroDuration(), {OriginKind::kEntry, "entry-1"}});
    request.caller.parent_serial = "0a";
    Awaited<absl::StatusOr<sds::Svid>> answer;
    batcher_.Obtain(std::move(request), *key_, answer.Setter());
    return answer;
  }
  // Everything that was given to the executor has run.
  void Settle() {
    Awaited<bool> settled;
    executor_.Run([set = settled.Setter()] { set(true); });
    settled.Get();
  }
  // The CA's answer to the oldest call.
  v1::SignResponse Granted() { return *authority_.script.sign(ca_.Read<v1::SignRequest>()); }
  void Answer(const v1::SignResponse& response) {
    executor_.Run([this, bytes = response.SerializeAsString()] { ca_.Answer(bytes); });
  }
  // One request, answered by what `spoil` leaves of the CA's answer.
  absl::Status Spoilt(const std::function<void(v1::SignResponse&)>& spoil) {
    auto answer = Obtain();
    Settle();
    v1::SignResponse response = Granted();
    spoil(response);
    Answer(response);
    return answer.Get().status();
  }

  const TempFolder temp_;
  const std::unique_ptr<AgentState> state_ = *AgentState::Open(temp_ / "agent");
  AgentAuthority authority_;
  ToldTrust trust_{*state_};
  const TrustingClock clock_{};
  SerialExecutor executor_{clock_};
  HandCaller ca_;
  const std::unique_ptr<SoftwareKey> key_ = *SoftwareKey::Generate(KeyType::kEcP256);
  SignBatcher batcher_{{.batch_max = 4, .in_flight_max = 2, .waiting_max = 9}, ca_, trust_, clock_, executor_};
};

TEST_F(SignBatcherTest, AsksForTheKeyAndHandsOutWhatWasSigned) {
  auto answer = Obtain();
  Settle();
  const auto request = ca_.Read<v1::SignRequest>();
  ASSERT_EQ(request.requests_size(), 1);
  EXPECT_EQ(request.requests(0).spiffe_id(), kWebId);
  EXPECT_EQ(request.requests(0).entry_id(), "entry-1");
  EXPECT_EQ(request.requests(0).parent_serial(), "0a");
  const auto csr = Csr::Parse(request.requests(0).csr());
  ASSERT_THAT(csr, IsOk());
  EXPECT_EQ(csr->public_key(), key_->public_key());
  EXPECT_TRUE(csr->uri_names().empty());

  Answer(Granted());
  const auto svid = answer.Get();
  ASSERT_THAT(svid, IsOk());
  const Certificate leaf = *svid->chain.ParseLeaf();
  EXPECT_EQ(leaf.spiffe_id()->uri(), kWebId);
  EXPECT_EQ(svid->serial, leaf.serial_hex());
  EXPECT_EQ(svid->validity, leaf.validity());
  EXPECT_EQ(svid->authority_id, authority_.keys().issuing.spki_sha256_hex());
  EXPECT_EQ(svid->ChainPem(), leaf.pem().text() + authority_.keys().issuing.pem().text());
}

TEST_F(SignBatcherTest, GathersWhatComesWhileACallIsUnderWay) {
  std::vector<Awaited<absl::StatusOr<sds::Svid>>> answers;
  answers.push_back(Obtain());
  Settle();
  for (int i = 0; i < 3; ++i) answers.push_back(Obtain());
  Settle();
  EXPECT_EQ(ca_.open(), 1u);  // three do not fill a message
  answers.push_back(Obtain());
  Settle();
  EXPECT_EQ(ca_.open(), 2u);  // four do
  for (int i = 0; i < 9; ++i) answers.push_back(Obtain());
  Settle();
  EXPECT_EQ(ca_.open(), 2u);  // and no third is sent beside two
  EXPECT_THAT(Obtain().Get(), StatusIs(absl::StatusCode::kResourceExhausted));

  std::vector<int> sizes;
  while (ca_.open() > 0) {
    sizes.push_back(ca_.Read<v1::SignRequest>().requests_size());
    Answer(Granted());
    Settle();
  }
  EXPECT_THAT(sizes, testing::ElementsAre(1, 4, 4, 4, 1));
  for (auto& answer : answers) EXPECT_THAT(answer.Get(), IsOk());
}

TEST_F(SignBatcherTest, TellsEachItsOwnOutcome) {
  auto first = Obtain();
  Settle();
  auto refused = Obtain(), busy = Obtain("spiffe://cluster.local/db"), granted = Obtain();
  Settle();
  Answer(Granted());
  EXPECT_THAT(first.Get(), IsOk());
  Settle();
  v1::SignResponse response = Granted();
  ASSERT_EQ(response.results_size(), 3);
  response.mutable_results(0)->clear_chain();
  response.mutable_results(0)->set_code(static_cast<int>(absl::StatusCode::kPermissionDenied));
  response.mutable_results(0)->set_message("the entry is gone");
  response.mutable_results(0)->set_reason("ENTRY_GONE");
  response.mutable_results(1)->clear_chain();
  response.mutable_results(1)->set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
  Answer(response);
  const absl::Status why = refused.Get().status();
  EXPECT_THAT(why, StatusIs(absl::StatusCode::kPermissionDenied, "the entry is gone"));
  EXPECT_THAT(why, HasReason("ENTRY_GONE"));
  EXPECT_TRUE(sds::IsFinalRefusal(why));
  const absl::Status later = busy.Get().status();
  EXPECT_THAT(later, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(sds::IsFinalRefusal(later));
  EXPECT_THAT(granted.Get(), IsOk());
}

TEST_F(SignBatcherTest, IsFinalForNobodyWhereTheAgentItselfIsRefused) {
  for (const absl::StatusCode code : {absl::StatusCode::kUnauthenticated, absl::StatusCode::kPermissionDenied,
                                      absl::StatusCode::kInvalidArgument, absl::StatusCode::kUnavailable}) {
    auto answer = Obtain();
    Settle();
    executor_.Run([&] { ca_.Answer(WithReason(absl::Status(code, "node-1 is banned"), "NODE_BANNED")); });
    const absl::Status why = answer.Get().status();
    EXPECT_FALSE(sds::IsFinalRefusal(why)) << why;
    EXPECT_THAT(why, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("node-1 is banned")));
    EXPECT_THAT(why, HasReason("NODE_BANNED"));
  }
}

TEST_F(SignBatcherTest, BelievesNoCertificateThatIsNotWhatWasAskedFor) {
  const AuthorityKeys& keys = authority_.keys();
  const auto replaced_by = [&](const std::vector<std::string>& chain) {
    return Spoilt([&](v1::SignResponse& response) {
      response.mutable_results(0)->mutable_chain()->Assign(chain.begin(), chain.end());
    });
  };
  const auto invalid = [](const char* words) { return StatusIs(absl::StatusCode::kInternal, HasSubstr(words)); };
  EXPECT_THAT(replaced_by(keys.Leaf(keys.jwt_key->public_key(), kWebId)), invalid("another key"));
  EXPECT_THAT(replaced_by(keys.Leaf(key_->public_key(), "spiffe://cluster.local/db")),
              invalid("spiffe://cluster.local/db"));
  EXPECT_THAT(replaced_by({}), invalid("no certificate"));
  EXPECT_THAT(replaced_by({"garbage"}), HasReason("ANSWER_INVALID"));
  std::vector<std::string> chain = keys.Leaf(key_->public_key(), kWebId);
  chain[1] = AuthorityKeys().issuing.der().bytes();
  EXPECT_THAT(replaced_by(chain), HasReason("ANSWER_INVALID"));
  EXPECT_THAT(replaced_by(std::vector<std::string>(20, chain[0])), invalid("too long"));

  const auto untrusted = [](const char* words) { return StatusIs(absl::StatusCode::kUnavailable, HasSubstr(words)); };
  EXPECT_THAT(replaced_by(AuthorityKeys().Leaf(key_->public_key(), kWebId)), untrusted("told last"));
  EXPECT_THAT(replaced_by(keys.Leaf(key_->public_key(), kWebId, {}, absl::Hours(1), absl::Now() - absl::Hours(3))),
              HasReason("ANSWER_NOT_TRUSTED"));
  EXPECT_THAT(replaced_by(keys.Leaf(key_->public_key(), kWebId, {}, absl::Hours(9), absl::Now() + absl::Hours(3))),
              HasReason("ANSWER_NOT_TRUSTED"));
  EXPECT_THAT(Spoilt([](v1::SignResponse& response) { response.clear_results(); }), invalid("0 answers to 1"));
  EXPECT_THAT(Spoilt([](v1::SignResponse& response) {
                response.mutable_results(0)->set_code(4711);
                response.mutable_results(0)->set_message("odd");
              }),
              invalid("odd"));
}

}  // namespace
}  // namespace meshca::agent
