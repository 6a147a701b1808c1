#include "ca/issuance/server_certificate.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ca/authority/authority_manager.h"
#include "ca/authority/settings.h"
#include "ca/base/openssl_ptr.h"
#include "ca/issuance/authority_import.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authority/test_ca.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"

#include <openssl/x509_vfy.h>

namespace meshca {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

using X509StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;
using X509StoreCtxPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

constexpr absl::Duration kDay = absl::Hours(24);

class ServerCertificateTest : public testing::Test {
 protected:
  ServerCertificateTest() {
    AuthorityOptions options;
    options.trust_domain = domain_;
    manager_ = AuthorityManager::Create(options, store_, keys_, clock_, entropy_).value();
    EXPECT_TRUE(manager_->Start().ok());
    options_.trust_domain = domain_;
    options_.names = DefaultServerNames({"ca.example.test", "10.1.2.3"});
  }
  ServerCertificate Make() {
    return ServerCertificate(options_, *manager_, store_, entropy_, [this](const ServerIdentity& identity) {
      if (install_error_.ok()) installed_.push_back(identity);
      return install_error_;
    });
  }
  absl::Time Tick(ServerCertificate& certificate) { return certificate.Tick(clock_.Now()); }

  // OpenSSL's own verdict on the newest chain, for `host`, trusting `root` alone.
  int VerifyByOpenSsl(const Certificate& root, const char* host) {
    auto parse = [](const Certificate& certificate) {
      const std::string& der = certificate.der().bytes();
      const unsigned char* p = reinterpret_cast<const unsigned char*>(der.data());
      return X509Ptr(d2i_X509(nullptr, &p, static_cast<long>(der.size())));
    };
    X509StorePtr store(X509_STORE_new());
    X509_STORE_add_cert(store.get(), parse(root).get());
    STACK_OF(X509)* untrusted = sk_X509_new_null();
    for (size_t i = 1; i < installed_.back().chain.size(); ++i) {
      sk_X509_push(untrusted, parse(installed_.back().chain[i]).release());
    }
    X509Ptr leaf = parse(installed_.back().chain.front());
    X509StoreCtxPtr context(X509_STORE_CTX_new());
    X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), untrusted);
    X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_time(param, absl::ToTimeT(clock_.Now()));
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) X509_VERIFY_PARAM_set1_host(param, host, 0);
    X509_verify_cert(context.get());
    int error = X509_STORE_CTX_get_error(context.get());
    sk_X509_pop_free(untrusted, X509_free);
    return error;
  }

  // A workload's certificate for `lifetime`, by what signed the CA's own.
  void RecordSomebody(absl::Duration lifetime) {
    IssuanceRecord somebody = store_.Find(installed_.back().chain.front().serial().value()).value();
    somebody.serial = SerialNumber::Make(clock_.Now(), entropy_);
    somebody.spiffe_id = SpiffeId::Parse("spiffe://cluster.local/web").value();
    somebody.not_after = clock_.Now() + lifetime;
    absl::Status appended = absl::UnknownError("never done");
    store_.Append(std::move(somebody), [&appended](absl::Status status) { appended = std::move(status); });
    ASSERT_TRUE(appended.ok()) << appended;
  }

  // A root made elsewhere, with its key, in istio's layout.
  TestCa WriteOtherRoot(TestFolder& folder) const {
    TestCertificate spec;
    spec.name = "other root";
    spec.not_before = clock_.Now() - kDay;
    spec.not_after = clock_.Now() + 900 * kDay;
    TestCa other_root = MakeTestCa(spec);
    folder.Write("ca-cert.pem", other_root.pem());
    folder.Write("ca-key.pem", other_root.key_pem());
    return other_root;
  }

  TrustDomain domain_ = TrustDomain::Parse("cluster.local").value();
  FakeClock clock_;
  CountingEntropy entropy_;
  MemoryStore store_;
  FakeKeyStore keys_;
  std::unique_ptr<AuthorityManager> manager_;
  ServerCertificateOptions options_;
  absl::Status install_error_;
  std::vector<ServerIdentity> installed_;
};

TEST_F(ServerCertificateTest, IsValidForEveryNameClientsUse) {
  ServerCertificate certificate = Make();
  EXPECT_EQ(certificate.ExpiresAt(), absl::InfinitePast());
  Tick(certificate);
  ASSERT_THAT(installed_, SizeIs(1));
  Certificate root = manager_->Current()->bundle->roots.front();
  for (const char* host : {"localhost", "istiod.istio-system.svc", "127.0.0.1", "::1", "ca.example.test", "10.1.2.3"}) {
    EXPECT_EQ(VerifyByOpenSsl(root, host), X509_V_OK) << host;
  }
  EXPECT_EQ(VerifyByOpenSsl(root, "other.test"), X509_V_ERR_HOSTNAME_MISMATCH);
}

TEST_F(ServerCertificateTest, ChainEndsWithTheRootAndTheKeyIsTheLeafs) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  const ServerIdentity& identity = installed_.back();
  ASSERT_THAT(identity.chain, SizeIs(3));
  EXPECT_TRUE(identity.chain.back().IsSelfSigned());
  EXPECT_EQ(identity.chain.back(), manager_->Current()->bundle->roots.front());
  EXPECT_EQ(identity.ChainDer().front(), identity.chain.front().der().bytes());
  EXPECT_EQ(identity.key->public_key(), identity.chain.front().public_key());
}

TEST_F(ServerCertificateTest, IsRecordedBeforeItIsShown) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  const Certificate& leaf = installed_.back().chain.front();
  IssuanceRecord record = store_.Find(leaf.serial().value()).value();
  EXPECT_EQ(record.spiffe_id.uri(), "spiffe://cluster.local/meshca/server");
  EXPECT_EQ(record.authority_id, manager_->Current()->issuing->id);
  EXPECT_EQ(record.certificate_sha256, leaf.sha256());
  EXPECT_EQ(record.not_after, leaf.validity().not_after);
  const OwnLeaves own = CountLiveServerCertificates(store_, domain_, clock_.Now()).value();
  EXPECT_EQ(own.spiffe_id, record.spiffe_id.uri());
  EXPECT_THAT(own.by_authority, ElementsAre(Pair(record.authority_id, 1u)));
  EXPECT_THAT(CountLiveServerCertificates(store_, domain_, clock_.Now() + 2 * kDay).value().by_authority, IsEmpty());
}

TEST_F(ServerCertificateTest, RenewsAtHalfOfItsLifeWithANewKey) {
  ServerCertificate certificate = Make();
  absl::Time next = Tick(certificate);
  absl::Time expires = certificate.ExpiresAt();
  EXPECT_GT(next, clock_.Now() + absl::Hours(11));
  EXPECT_LT(next, clock_.Now() + absl::Hours(13));
  clock_.Advance(next - clock_.Now() - absl::Seconds(1));
  Tick(certificate);
  EXPECT_THAT(installed_, SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  Tick(certificate);
  ASSERT_THAT(installed_, SizeIs(2));
  EXPECT_GT(certificate.ExpiresAt(), expires);
  EXPECT_FALSE(installed_[0].key->public_key() == installed_[1].key->public_key());
}

TEST_F(ServerCertificateTest, ShortLivedAuthorityIsNoReasonToRenewWithoutEnd) {
  // The demo's: an issuing authority of 40 s, less than the time by which the certificate is back-dated.
  AuthorityOptions authority;
  authority.trust_domain = domain_;
  authority.issuing_lifetime = absl::Seconds(40);
  authority.leaf_lifetime_max = absl::Seconds(20);
  MemoryStore store;
  auto manager = AuthorityManager::Create(authority, store, keys_, clock_, entropy_).value();
  ASSERT_TRUE(manager->Start().ok());
  ServerCertificate certificate(options_, *manager, store, entropy_, [this](const ServerIdentity& identity) {
    installed_.push_back(identity);
    return absl::OkStatus();
  });
  absl::Time next = Tick(certificate);
  EXPECT_EQ(next, clock_.Now() + absl::Seconds(20));
  clock_.Advance(absl::Seconds(19));
  Tick(certificate);
  EXPECT_THAT(installed_, SizeIs(1));
  for (int second = 0; second < 600; ++second) {
    clock_.Advance(absl::Seconds(1));
    manager->Tick(clock_.Now());
    Tick(certificate);
    ASSERT_GT(certificate.ExpiresAt(), clock_.Now());
  }
  EXPECT_LE(installed_.size(), 60u);
}

TEST_F(ServerCertificateTest, ANewIssuingAuthorityAloneChangesNothing) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  std::string before = manager_->Current()->issuing->id;
  ASSERT_TRUE(store_.PutSetting(kSettingRecovered, "1").ok());
  ASSERT_TRUE(manager_->Start().ok());
  ASSERT_NE(manager_->Current()->issuing->id, before);
  Tick(certificate);
  EXPECT_THAT(installed_, SizeIs(1));
}

TEST_F(ServerCertificateTest, ChangedRootRenewsAtOnce) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  Certificate first_root = manager_->Current()->bundle->roots.front();
  TestFolder folder;
  const TestCa other_root = WriteOtherRoot(folder);
  absl::Status imported = ImportAuthoritySet(*manager_, store_, clock_.Now(), SetFiles(folder.path()), "uid 0", {});
  ASSERT_TRUE(imported.ok()) << imported;
  EXPECT_FALSE(manager_->Current()->rotation.has_value()) << "the CA's own certificate is no reason for a rotation";
  Tick(certificate);
  ASSERT_TRUE(certificate.LastError().ok()) << certificate.LastError();
  ASSERT_THAT(installed_, SizeIs(2));
  EXPECT_EQ(VerifyByOpenSsl(other_root.certificate(), "localhost"), X509_V_OK);
  EXPECT_NE(VerifyByOpenSsl(first_root, "localhost"), X509_V_OK);
}

TEST_F(ServerCertificateTest, SomebodyElsesMakesAnImportARotation) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  RecordSomebody(absl::Hours(24));
  TestFolder folder;
  WriteOtherRoot(folder);
  absl::Status imported = ImportAuthoritySet(*manager_, store_, clock_.Now(), SetFiles(folder.path()), "uid 0", {});
  ASSERT_TRUE(imported.ok()) << imported;
  ASSERT_TRUE(manager_->Current()->rotation.has_value());
  EXPECT_FALSE(manager_->Current()->rotation->Ended());
}

// Two of the CA's own certificates are alive, and only one of them under the root that is to be left.
TEST_F(ServerCertificateTest, SomebodyElsesMakesAnImportOfTheRootBeforeARotation) {
  ServerCertificate certificate = Make();
  TestFolder one, two;
  WriteOtherRoot(one);
  const TestCa second_root = WriteOtherRoot(two);
  ASSERT_TRUE(ImportAuthoritySet(*manager_, store_, clock_.Now(), SetFiles(one.path()), "uid 0", {}).ok());
  Tick(certificate);
  RecordSomebody(absl::Hours(1));
  ASSERT_TRUE(ImportAuthoritySet(*manager_, store_, clock_.Now(), SetFiles(two.path()), "uid 0", {.force = true}).ok());
  Tick(certificate);
  ASSERT_THAT(installed_, SizeIs(2));
  clock_.Advance(absl::Hours(2));
  RecordSomebody(absl::Hours(24));
  const absl::Status back = ImportAuthoritySet(*manager_, store_, clock_.Now(), SetFiles(one.path()), "uid 0", {});
  ASSERT_TRUE(back.ok()) << back;
  EXPECT_THAT(manager_->Current()->bundle->roots, Contains(second_root.certificate()));
  EXPECT_TRUE(manager_->Current()->rotation.has_value());
}

TEST_F(ServerCertificateTest, StoreAwayKeepsTheOldOneAndRetries) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  absl::Time expires = certificate.ExpiresAt();
  clock_.Advance(absl::Hours(13));
  store_.FailWrites(absl::UnavailableError("disk full"));
  EXPECT_EQ(Tick(certificate), clock_.Now() + absl::Seconds(5));
  EXPECT_EQ(certificate.LastError().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(certificate.LastError().message()), HasSubstr("disk full"));
  EXPECT_THAT(installed_, SizeIs(1)) << "an unrecorded certificate was shown";
  EXPECT_EQ(certificate.ExpiresAt(), expires);
  store_.FailWrites(absl::OkStatus());
  Tick(certificate);
  EXPECT_TRUE(certificate.LastError().ok());
  EXPECT_THAT(installed_, SizeIs(2));
}

TEST_F(ServerCertificateTest, AbortedRecordIsSignedAgain) {
  store_.AbortAppends(2);
  ServerCertificate certificate = Make();
  Tick(certificate);
  EXPECT_TRUE(certificate.LastError().ok()) << certificate.LastError();
  EXPECT_THAT(installed_, SizeIs(1));
  store_.AbortAppends(100);
  clock_.Advance(absl::Hours(13));
  Tick(certificate);
  EXPECT_EQ(certificate.LastError().code(), absl::StatusCode::kAborted);
}

TEST_F(ServerCertificateTest, WaitsForTheRecordHoweverLate) {
  store_.HoldAppends(10);
  ServerCertificate certificate = Make();
  std::thread releaser([&] {
    while (certificate.ExpiresAt() == absl::InfinitePast()) {
      store_.ReleaseAppends();
      store_.HoldAppends(10);
      std::this_thread::yield();
    }
  });
  Tick(certificate);
  releaser.join();
  EXPECT_THAT(installed_, SizeIs(1));
}

TEST_F(ServerCertificateTest, ListenerThatRefusesIsAnErrorAndTriedAgain) {
  install_error_ = absl::InternalError("SSL_CTX");
  ServerCertificate certificate = Make();
  Tick(certificate);
  EXPECT_THAT(std::string(certificate.LastError().message()), HasSubstr("SSL_CTX"));
  EXPECT_EQ(certificate.ExpiresAt(), absl::InfinitePast());
  install_error_ = absl::OkStatus();
  Tick(certificate);
  EXPECT_TRUE(certificate.LastError().ok());
}

TEST_F(ServerCertificateTest, OtherNamesAreTakenWithTheNextTick) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  certificate.SetNames(DefaultServerNames({"new.example.test"}));
  Tick(certificate);
  Tick(certificate);
  ASSERT_THAT(installed_, SizeIs(2));
  EXPECT_EQ(VerifyByOpenSsl(manager_->Current()->bundle->roots.front(), "new.example.test"), X509_V_OK);
}

TEST_F(ServerCertificateTest, OtherNamesAreWantedUntilTheyAreThere) {
  ServerCertificate certificate = Make();
  Tick(certificate);
  certificate.SetNames(DefaultServerNames({"new.example.test"}));
  install_error_ = absl::InternalError("SSL_CTX");
  Tick(certificate);
  EXPECT_FALSE(certificate.LastError().ok());
  install_error_ = absl::OkStatus();
  Tick(certificate);
  EXPECT_TRUE(certificate.LastError().ok());
  EXPECT_EQ(VerifyByOpenSsl(manager_->Current()->bundle->roots.front(), "new.example.test"), X509_V_OK);
}

TEST_F(ServerCertificateTest, BadConfiguredNameIsInvalidArgument) {
  options_.names = DefaultServerNames({"not a name"});
  ServerCertificate certificate = Make();
  Tick(certificate);
  EXPECT_EQ(certificate.LastError().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(certificate.LastError().message()), HasSubstr("not a name"));
  certificate.SetNames(DefaultServerNames({"a.name"}));
  Tick(certificate);
  EXPECT_TRUE(certificate.LastError().ok());
}

TEST(DefaultServerNames, SortsNamesFromAddressesOnce) {
  ServerCertificateNames names = DefaultServerNames({"localhost", "::1", "fd00::7", "ca.test"});
  EXPECT_EQ(std::count(names.dns_names.begin(), names.dns_names.end(), "localhost"), 1);
  EXPECT_EQ(std::count(names.ip_addresses.begin(), names.ip_addresses.end(), "::1"), 1);
  EXPECT_THAT(names.ip_addresses, Contains("fd00::7"));
  EXPECT_THAT(names.dns_names, Contains("ca.test"));
}

}  // namespace
}  // namespace meshca
