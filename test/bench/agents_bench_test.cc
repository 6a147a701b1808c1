// The parts of `meshca-bench agents` that need no CA.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <openssl/x509.h>

#include <nlohmann/json.hpp>

#include "test/bench/agent_wire.h"
#include "test/bench/agents_report.h"
#include "test/bench/simulated_agent.h"
#include "test/fakes/status_matchers.h"

namespace meshca::bench {
namespace {

namespace v1 = agent::v1;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Wish = SimulatedAgent::Wish;

// A certificate of its own key, whose serialNumber is `serial`, hex.
std::string CertificateWith(const std::string& serial, EVP_PKEY* key) {
  const X509Ptr certificate(X509_new());
  BIGNUM* number = nullptr;
  BN_hex2bn(&number, serial.c_str());
  const BignumPtr owned(number);
  X509_set_version(certificate.get(), 2);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key);
  X509_sign(certificate.get(), key, EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

v1::AttachResponse Welcome() {
  v1::AttachResponse message;
  message.mutable_welcome()->set_protocol_version(1);
  message.mutable_welcome()->mutable_heartbeat()->set_seconds(7);
  return message;
}

v1::AttachResponse Trust(uint64_t version) {
  v1::AttachResponse message;
  message.mutable_trust()->set_version(version);
  return message;
}

v1::AttachResponse Entries(int count) {
  v1::AttachResponse message;
  v1::EntriesChange& change = *message.mutable_entries();
  change.set_revision(3);
  change.set_whole(true);
  change.set_complete(true);
  for (int i = 0; i < count; ++i) {
    v1::NodeEntry& entry = *change.add_put();
    entry.set_id("entry-" + std::to_string(i));
    entry.set_spiffe_id("spiffe://a.test/" + std::to_string(i));
  }
  return message;
}

v1::CertificateResult Signed(const std::string& serial, const std::string& authority_id) {
  v1::CertificateResult result;
  result.add_chain(CertificateWith(serial, MakeP256Key().get()));
  result.set_authority_id(authority_id);
  return result;
}

class SimulatedAgentTest : public testing::Test {
 protected:
  // Attached, with two certificates under "old".
  void Settle() {
    EXPECT_THAT(agent_.Take(Welcome()), IsOk());
    EXPECT_THAT(agent_.Take(Trust(5)), IsOk());
    EXPECT_THAT(agent_.Take(Entries(2)), IsOk());
    const std::vector<Wish> wishes = agent_.TakeWishes(64);
    ASSERT_THAT(wishes, SizeIs(2));
    EXPECT_THAT(agent_.TakeResult(wishes[0], Signed("11", "old")), IsOk());
    EXPECT_FALSE(agent_.settled());
    EXPECT_THAT(agent_.TakeResult(wishes[1], Signed("12", "old")), IsOk());
    EXPECT_TRUE(agent_.settled());
  }
  v1::Held Held() { return agent_.Report().held(); }

  SimulatedAgent agent_{"web-1", "spiffe://a.test/meshca/agent/web-1", 10};
};

TEST_F(SimulatedAgentTest, AsksForACertificateForEachEntryOnceItIsToldThem) {
  EXPECT_THAT(agent_.TakeWishes(64), IsEmpty());
  EXPECT_THAT(agent_.Take(Welcome()), IsOk());
  EXPECT_EQ(agent_.heartbeat(), absl::Seconds(7));
  EXPECT_THAT(agent_.Take(Entries(3)), IsOk());
  EXPECT_THAT(agent_.TakeWishes(2), SizeIs(2));
  EXPECT_THAT(agent_.TakeWishes(64), SizeIs(1));
  EXPECT_THAT(agent_.TakeWishes(64), IsEmpty());
}

TEST_F(SimulatedAgentTest, ReportsWhatItsConsumersHoldAndUnderWhom) {
  Settle();
  EXPECT_TRUE(agent_.has_news());
  const v1::Held held = Held();
  EXPECT_FALSE(agent_.has_news());
  EXPECT_EQ(held.trust_version(), 5);
  EXPECT_EQ(held.own_trust_version(), 5);
  EXPECT_EQ(held.consumers(), 10);
  EXPECT_EQ(held.behind(), 0);
  EXPECT_EQ(held.certificates(), 2);
  ASSERT_THAT(held.under(), SizeIs(1));
  EXPECT_EQ(held.under(0).authority_id(), "old");
  EXPECT_EQ(held.under(0).certificates(), 2);
}

TEST_F(SimulatedAgentTest, AConsumerThatSleepsIsNamedUntilItWakesUp) {
  Settle();
  agent_.FallAsleep();
  EXPECT_EQ(Held().behind(), 0) << "it holds what the others do";
  EXPECT_THAT(agent_.Take(Trust(6)), IsOk());
  const v1::Held held = Held();
  EXPECT_EQ(held.trust_version(), 5);
  EXPECT_EQ(held.own_trust_version(), 6);
  ASSERT_THAT(held.behind_first(), SizeIs(1));
  EXPECT_EQ(held.behind_first(0).trust_version(), 5);
  EXPECT_GT(held.behind_first(0).pid(), 0);
  agent_.WakeUp();
  EXPECT_TRUE(agent_.has_news());
  EXPECT_EQ(Held().behind(), 0);
}

TEST_F(SimulatedAgentTest, APermitIsForSoManyCertificatesOfItsAuthorities) {
  Settle();
  v1::AttachResponse message;
  message.mutable_reissue()->add_authority_ids("another");
  message.mutable_reissue()->set_certificates(2);
  EXPECT_THAT(agent_.Take(message), IsOk());
  EXPECT_THAT(agent_.TakeWishes(64), IsEmpty());
  message.mutable_reissue()->set_authority_ids(0, "old");
  message.mutable_reissue()->set_certificates(1);
  EXPECT_THAT(agent_.Take(message), IsOk());
  const std::vector<Wish> wishes = agent_.TakeWishes(64);
  ASSERT_THAT(wishes, SizeIs(1));
  EXPECT_EQ(agent_.RequestFor(wishes[0]).parent_serial(), "11");
  EXPECT_EQ(agent_.RequestFor(wishes[0]).entry_id(), "entry-0");
}

TEST_F(SimulatedAgentTest, ItRenewsItsOwnCertificateWhenItIsTold) {
  Settle();
  agent_.set_own_serial("0a");
  v1::AttachResponse message;
  message.mutable_renew()->add_spiffe_ids(agent_.spiffe_id());
  EXPECT_THAT(agent_.Take(message), IsOk());
  const std::vector<Wish> wishes = agent_.TakeWishes(64);
  ASSERT_THAT(wishes, SizeIs(1));
  EXPECT_EQ(agent_.RequestFor(wishes[0]).spiffe_id(), agent_.spiffe_id());
  EXPECT_EQ(agent_.RequestFor(wishes[0]).parent_serial(), "0a");
}

TEST_F(SimulatedAgentTest, WhatWasRefusedOrLostIsWantedAgain) {
  EXPECT_THAT(agent_.Take(Welcome()), IsOk());
  EXPECT_THAT(agent_.Take(Entries(2)), IsOk());
  std::vector<Wish> wishes = agent_.TakeWishes(64);
  v1::CertificateResult refused;
  refused.set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
  refused.set_message("full");
  EXPECT_THAT(agent_.TakeResult(wishes[0], refused), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("full")));
  agent_.TakeFailure({wishes[1]});
  EXPECT_THAT(agent_.TakeWishes(64), SizeIs(2));
}

TEST_F(SimulatedAgentTest, ANewProcessKnowsNothingAndAnOldOneWhatItWasTold) {
  Settle();
  agent_.Detach();
  EXPECT_FALSE(agent_.settled());
  EXPECT_EQ(agent_.Hello().hello().entries_revision(), 3);
  EXPECT_EQ(agent_.Hello().hello().trust_version(), 5);
  EXPECT_THAT(agent_.Take(Welcome()), IsOk());
  EXPECT_TRUE(agent_.settled());
  agent_.Restart();
  EXPECT_EQ(agent_.Hello().hello().entries_revision(), 0);
  EXPECT_EQ(agent_.Hello().hello().trust_version(), 0);
  EXPECT_EQ(agent_.certificates(), 0);
}

TEST_F(SimulatedAgentTest, ACaThatBreaksTheProtocolIsNoticed) {
  EXPECT_THAT(agent_.Take(Trust(5)), StatusIs(absl::StatusCode::kInternal, HasSubstr("welcome")));
  EXPECT_THAT(agent_.Take(Welcome()), IsOk());
  EXPECT_THAT(agent_.Take(Trust(5)), IsOk());
  EXPECT_THAT(agent_.Take(Trust(4)), StatusIs(absl::StatusCode::kInternal, HasSubstr("went back")));
}

TEST(AgentWireTest, ASerialIsReadFromACertificateAlone) {
  const EvpPkeyPtr key = MakeP256Key();
  EXPECT_EQ(*SerialOf(CertificateWith("018d00ff", key.get())), "018d00ff");
  EXPECT_THAT(SerialOf("nothing"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate")));
  EXPECT_THAT(SerialOf(CertificateWith("01", key.get()).substr(0, 12)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate")));
}

TEST(AgentWireTest, AnAnswerForAnotherKeyIsWrong) {
  const EvpPkeyPtr key = MakeP256Key();
  v1::CertificateResult answer;
  const X509StorePtr roots(X509_STORE_new());
  EXPECT_THAT(CheckAnswer(answer, CsrOf(key.get()), "spiffe://a.test/a", roots.get()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no certificate")));
  answer.add_chain(CertificateWith("01", MakeP256Key().get()));
  EXPECT_THAT(CheckAnswer(answer, CsrOf(key.get()), "spiffe://a.test/a", roots.get()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("key")));
  answer.set_chain(0, CertificateWith("01", key.get()));
  EXPECT_THAT(CheckAnswer(answer, CsrOf(key.get()), "spiffe://a.test/a", roots.get()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is not for spiffe://a.test/a")));
}

TEST(AgentsReportTest, FiguresAreForOneAgent) {
  AgentsReport report;
  report.agents = 100;
  report.before = ProcessMemory{0, 1 << 20, 0};
  report.connected = ProcessMemory{0, (1 << 20) + 100 * 20 * 1024, 0};
  report.attached = ProcessMemory{0, (1 << 20) + 100 * 27 * 1024, 0};
  report.idle.emplace();
  report.idle->wall = absl::Minutes(1);
  report.idle->server_cpu = absl::Milliseconds(20);
  const nlohmann::json json = ToJson(report);
  EXPECT_DOUBLE_EQ(json["server_memory"]["connection_kib_per_agent"], 20);
  EXPECT_DOUBLE_EQ(json["server_memory"]["attached_kib_per_agent"], 7);
  EXPECT_DOUBLE_EQ(json["idle"]["cpu_ms_per_agent_hour"], 12);
}

}  // namespace
}  // namespace meshca::bench
