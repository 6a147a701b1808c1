// TLS: versions, ALPN, client certificates, resumption, swapping in place.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "ca/rpc/client_chain.h"
#include "test/ca/rpc/edge_fixture.h"
#include "test/ca/rpc/test_certificates.h"

namespace meshca::rpc {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

// Accepts by common name; the identity is that name.
class NameVerifier final : public ClientVerifier {
 public:
  absl::StatusOr<std::shared_ptr<const void>> Verify(std::span<const std::string> chain_der, absl::Time now) override {
    ++calls;
    const std::string name = CommonNameOf(chain_der[0]);
    MutexLock lock(mutex);
    auto refused = refusals.find(name);
    if (refused != refusals.end()) {
      return WithReason(absl::UnauthenticatedError("refused by the test"), refused->second);
    }
    return std::shared_ptr<const void>(std::make_shared<const std::string>(name));
  }

  std::atomic<int> calls{0};
  Mutex mutex;
  std::map<std::string, std::string> refusals ABSL_GUARDED_BY(mutex);  // name to reason
};

// What NewSession collects: OpenSSL hands TLS 1.3 sessions over when they arrive.
struct Sessions {
  OpenSslPtr<SSL_SESSION, SSL_SESSION_free> last;
};

class TlsTest : public EdgeTest {
 protected:
  TlsTest() : certificate_(MakeCertificate("server")), verifier_(std::make_shared<NameVerifier>()) {
    router_.AddUnary("/t.Test/Who", [](std::shared_ptr<Call> call) {
      const Peer& peer = *call->peer();
      call->Finish(Frame(absl::StrCat(peer.identity ? *static_cast<const std::string*>(peer.identity.get()) : "nobody",
                                      " ", peer.certificate_chain_der.size(), " ", peer.tls_version, " ",
                                      peer.tls_resumed ? "resumed" : "full")));
    });
  }

  TlsOptions Options(ClientCertificates clients) {
    TlsOptions options = ServerOptionsWith(certificate_);
    options.client_certificates = clients;
    if (clients != ClientCertificates::kNone) options.verifier = verifier_;
    return options;
  }
  std::string ServeTls(TlsOptions options) {
    auto context = TlsContext::Create(std::move(options));
    EXPECT_THAT(context, IsOk());
    context_ = *context;
    ListenerOptions listener;
    listener.tls = context_;
    return Serve(std::move(listener));
  }
  // A client's settings: `certificate` may be null, `alpn` empty.
  SslContextPtr ClientContext(const TestCertificate* certificate, int version = TLS1_3_VERSION,
                              std::string alpn = "\x02h2") {
    SslContextPtr ctx(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(ctx.get(), version);
    SSL_CTX_set_max_proto_version(ctx.get(), version);
    if (!alpn.empty()) {
      SSL_CTX_set_alpn_protos(ctx.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                              static_cast<unsigned int>(alpn.size()));
    }
    if (certificate != nullptr) {
      SSL_CTX_use_certificate(ctx.get(), certificate->certificate.get());
      SSL_CTX_use_PrivateKey(ctx.get(), certificate->key.get());
    }
    SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(ctx.get(), &sessions_);
    SSL_CTX_sess_set_new_cb(ctx.get(), [](SSL* ssl, SSL_SESSION* session) {
      static_cast<Sessions*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->last.reset(session);
      return 1;
    });
    return ctx;
  }
  std::string Who(H2Client& client) {
    if (!client.connected()) return absl::StrCat("failed: ", client.error());
    const Reply& reply = client.Call("/t.Test/Who", "");
    return reply.messages().empty() ? absl::StrCat("failed: ", client.error()) : reply.messages()[0];
  }
  // The alert, or whatever ended it, of a client that must not get through.
  std::string Refusal(const std::string& address, SSL_CTX* ctx) {
    H2Client client(address, ctx);
    if (!client.connected()) return client.error();
    EXPECT_EQ(client.Call("/t.Test/Who", "").status(), -1);  // TLS 1.3: the alert comes after the client is done.
    return client.error();
  }

  const TestCertificate certificate_;
  const std::shared_ptr<NameVerifier> verifier_;
  std::shared_ptr<TlsContext> context_;
  Sessions sessions_;
};

TEST_F(TlsTest, ServesBothVersions) {
  const std::string address = ServeTls(Options(ClientCertificates::kNone));
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto ctx = ClientContext(nullptr, version);
    H2Client client(address, ctx.get());
    EXPECT_THAT(Who(client), testing::StartsWith("nobody 0 TLSv1."));
  }
  EXPECT_EQ(server_->stats().handshakes_ok, 2u);
}

TEST_F(TlsTest, AMinimumVersionRefusesOlderOnes) {
  TlsOptions options = Options(ClientCertificates::kNone);
  options.minimum_version = TlsVersion::kTls13;
  const std::string address = ServeTls(std::move(options));
  auto old = ClientContext(nullptr, TLS1_2_VERSION);
  EXPECT_THAT(Refusal(address, old.get()), HasSubstr("protocol version"));
  auto current = ClientContext(nullptr);
  H2Client client(address, current.get());
  EXPECT_EQ(Who(client), "nobody 0 TLSv1.3 full");
  EXPECT_TRUE(Eventually([this] { return server_->stats().handshakes_failed == 1; }));
}

TEST_F(TlsTest, AlpnH2IsRequired) {
  const std::string address = ServeTls(Options(ClientCertificates::kNone));
  for (const char* alpn : {"", "\x08http/1.1"}) {
    auto ctx = ClientContext(nullptr, TLS1_3_VERSION, alpn);
    EXPECT_THAT(Refusal(address, ctx.get()), HasSubstr("no application protocol")) << alpn;
  }
}

class TlsVersionTest : public TlsTest, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Versions, TlsVersionTest, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& info) { return info.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST_P(TlsVersionTest, AClientCertificateBecomesTheIdentity) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  const TestCertificate alice = MakeCertificate("alice");
  auto with = ClientContext(&alice, GetParam());
  H2Client client(address, with.get());
  EXPECT_THAT(Who(client), testing::StartsWith("alice 1 "));
  auto without = ClientContext(nullptr, GetParam());
  H2Client anonymous(address, without.get());
  EXPECT_THAT(Who(anonymous), testing::StartsWith("nobody 0 "));
}

TEST_P(TlsVersionTest, ARequiredCertificateMustBeThere) {
  const std::string address = ServeTls(Options(ClientCertificates::kRequired));
  auto without = ClientContext(nullptr, GetParam());
  EXPECT_THAT(Refusal(address, without.get()),
              testing::AnyOf(HasSubstr("certificate required"), HasSubstr("handshake failure")));
}

TEST_P(TlsVersionTest, ABadCertificateFailsTheHandshakeWithItsAlert) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  const TestCertificate mallory = MakeCertificate("mallory");
  auto ctx = ClientContext(&mallory, GetParam());
  const std::pair<const char*, const char*> kCases[] = {{"CERTIFICATE_EXPIRED", "certificate expired"},
                                                        {"CERTIFICATE_REVOKED", "certificate revoked"},
                                                        {"UNKNOWN_AUTHORITY", "unknown ca"},
                                                        {"SOMETHING_ELSE", "bad certificate"}};
  for (const auto& [reason, alert] : kCases) {
    {
      MutexLock lock(verifier_->mutex);
      verifier_->refusals["mallory"] = reason;
    }
    EXPECT_THAT(Refusal(address, ctx.get()), HasSubstr(alert)) << reason;
  }
  EXPECT_TRUE(Eventually([this] { return server_->stats().handshakes_failed == 4; }));
}

TEST_P(TlsVersionTest, AResumedSessionKeepsTheIdentityAndIsVerifiedAgain) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  const TestCertificate alice = MakeCertificate("alice");
  auto ctx = ClientContext(&alice, GetParam());
  {
    H2Client client(address, ctx.get());
    EXPECT_THAT(Who(client), HasSubstr("full"));
  }
  ASSERT_NE(sessions_.last, nullptr);
  const auto session = std::move(sessions_.last);
  {
    H2Client client(address, ctx.get(), session.get());
    EXPECT_THAT(Who(client), testing::AllOf(testing::StartsWith("alice 1 "), HasSubstr("resumed")));
  }
  EXPECT_EQ(verifier_->calls, 2);
  EXPECT_EQ(server_->stats().handshakes_resumed, 1u);

  {
    MutexLock lock(verifier_->mutex);
    verifier_->refusals["alice"] = "CERTIFICATE_REVOKED";
  }
  H2Client client(address, ctx.get(), session.get());
  EXPECT_THAT(Who(client), HasSubstr("failed"));
  EXPECT_THAT(client.error(), HasSubstr("certificate revoked"));
  EXPECT_EQ(server_->stats().handshakes_resumed, 1u);
}

TEST_P(TlsVersionTest, AnonymousSessionsResumeToo) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  auto ctx = ClientContext(nullptr, GetParam());
  {
    H2Client client(address, ctx.get());
    EXPECT_THAT(Who(client), HasSubstr("full"));
  }
  const auto session = std::move(sessions_.last);
  ASSERT_NE(session, nullptr);
  H2Client client(address, ctx.get(), session.get());
  EXPECT_THAT(Who(client), testing::AllOf(testing::StartsWith("nobody 0 "), HasSubstr("resumed")));
}

TEST_P(TlsVersionTest, AnAnonymousSessionIsNoWayAroundARequiredCertificate) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  auto ctx = ClientContext(nullptr, GetParam());
  {
    H2Client client(address, ctx.get());
    Who(client);
  }
  const auto session = std::move(sessions_.last);
  ASSERT_THAT(context_->Swap(Options(ClientCertificates::kRequired)), IsOk());
  H2Client client(address, ctx.get(), session.get());
  EXPECT_FALSE(client.connected() && client.Call("/t.Test/Who", "").status() == 0);
}

TEST_P(TlsVersionTest, AForgottenSessionFallsBackToAFullHandshake) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  const TestCertificate alice = MakeCertificate("alice");
  auto ctx = ClientContext(&alice, GetParam());
  {
    H2Client client(address, ctx.get());
    Who(client);
  }
  const auto session = std::move(sessions_.last);
  context_->DropSessions();
  H2Client client(address, ctx.get(), session.get());
  EXPECT_THAT(Who(client), testing::AllOf(testing::StartsWith("alice 1 "), HasSubstr("full")));
}

// Counts the certificates that OpenSSL makes in this process, read ones included.
std::atomic<int>& CertificatesMade() {
  static std::atomic<int> made{0};
  static const int index = X509_get_ex_new_index(
      0, nullptr, [](void*, void*, CRYPTO_EX_DATA*, int, long, void*) { ++made; }, nullptr, nullptr);
  EXPECT_GE(index, 0);
  return made;
}

TEST_P(TlsVersionTest, AChainLongerThanAllowedIsRefusedBeforeAnyOfItIsRead) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  const TestCertificate alice = MakeCertificate("alice");
  const TestCertificate other = MakeCertificate("other");
  auto ctx = ClientContext(&alice, GetParam());
  for (int i = 0; i < 7; ++i) ASSERT_EQ(SSL_CTX_add1_chain_cert(ctx.get(), other.certificate.get()), 1);
  std::atomic<int>& made = CertificatesMade();
  {
    const int before = made;
    H2Client client(address, ctx.get());
    EXPECT_THAT(Who(client), testing::StartsWith("alice 8 "));
    EXPECT_GE(made - before, 8);
  }
  EXPECT_EQ(verifier_->calls, 1);
  for (int i = 0; i < 92; ++i) ASSERT_EQ(SSL_CTX_add1_chain_cert(ctx.get(), other.certificate.get()), 1);
  const int before = made;
  EXPECT_THAT(Refusal(address, ctx.get()), HasSubstr("decode error"));
  EXPECT_LE(made - before, 2) << "the client reads the server's";
  EXPECT_EQ(verifier_->calls, 1);
  EXPECT_TRUE(Eventually([this] { return server_->stats().handshakes_failed == 1; }));
}

// A Certificate message that lists `count` certificates of three bytes.
std::string CertificateMessage(int count, bool tls13) {
  std::string list;
  for (int i = 0; i < count; ++i) list += std::string("\0\0\3abc", 6) + (tls13 ? std::string(2, '\0') : "");
  const auto length = [](size_t size) {
    return std::string{static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)};
  };
  const std::string body = (tls13 ? std::string(1, '\0') : "") + length(list.size()) + list;
  return "\x0b" + length(body.size()) + body;
}

TEST(ClientChain, CountsTheCertificatesOfAMessage) {
  for (const bool tls13 : {false, true}) {
    for (const int count : {0, 1, 8, 9, 400}) EXPECT_EQ(CertificatesIn(CertificateMessage(count, tls13), tls13), count);
    const std::string message = CertificateMessage(9, tls13);
    for (size_t size = 0; size < message.size(); ++size) {
      EXPECT_EQ(CertificatesIn(message.substr(0, size), tls13), 0) << "cut short at " << size;
    }
    std::string broken = message;
    broken[broken.size() - (tls13 ? 6 : 4)] = '\x7f';  // the length of the last certificate
    EXPECT_EQ(CertificatesIn(broken, tls13), 8);
  }
  EXPECT_EQ(CertificatesIn("\x01" + CertificateMessage(9, true).substr(1), true), 0) << "a ClientHello";
}

// TLS 1.2 shows session ids to everybody on the path. Offering one without its key must not carry its owner's identity
// over, neither into this connection nor into a session made from it.
TEST_F(TlsTest, SomebodyElsesSessionIdGainsNothing) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  const TestCertificate alice = MakeCertificate("alice");
  auto alices = ClientContext(&alice, TLS1_2_VERSION);
  {
    H2Client client(address, alices.get());
    Who(client);
  }
  // The id of alice's session under a master key of mallory's own.
  OpenSslPtr<SSL_SESSION, SSL_SESSION_free> forged(SSL_SESSION_dup(sessions_.last.get()));
  const unsigned char key[48] = {1, 2, 3};
  SSL_SESSION_set1_master_key(forged.get(), key, sizeof key);
  auto mallorys = ClientContext(nullptr, TLS1_2_VERSION);
  {
    H2Client client(address, mallorys.get(), forged.get());
    EXPECT_FALSE(client.connected());
  }
  // A cipher that alice's session does not have forces a full handshake after the session was found.
  SSL_CTX_set_cipher_list(mallorys.get(), "ECDHE-ECDSA-CHACHA20-POLY1305");
  sessions_.last.reset();
  {
    H2Client client(address, mallorys.get(), forged.get());
    if (client.connected()) {
      EXPECT_THAT(Who(client), testing::StartsWith("nobody 0 "));
    }
  }
  if (sessions_.last) {
    const auto session = std::move(sessions_.last);
    H2Client client(address, mallorys.get(), session.get());
    if (client.connected()) {
      EXPECT_THAT(Who(client), testing::StartsWith("nobody 0 "));
    }
  }
}

TEST_F(TlsTest, SwapChangesNewConnectionsAndLeavesLiveOnesAlone) {
  const std::string address = ServeTls(Options(ClientCertificates::kNone));
  auto ctx = ClientContext(nullptr);
  H2Client before(address, ctx.get());
  EXPECT_EQ(Who(before), "nobody 0 TLSv1.3 full");

  const TestCertificate renewed = MakeCertificate("renewed");
  TlsOptions options = ServerOptionsWith(renewed);
  options.client_certificates = ClientCertificates::kOptional;
  options.verifier = verifier_;
  ASSERT_THAT(context_->Swap(std::move(options)), IsOk());

  const TestCertificate alice = MakeCertificate("alice");
  auto with = ClientContext(&alice);
  H2Client after(address, with.get());
  EXPECT_EQ(Who(after), "alice 1 TLSv1.3 full");
  char name[64] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(after.ssl())), NID_commonName, name, 64);
  EXPECT_STREQ(name, "renewed");
  EXPECT_EQ(Who(before), "nobody 0 TLSv1.3 full");
}

TEST_F(TlsTest, WithoutACertificateNobodyGetsInUntilOneIsSwappedIn) {
  const std::string address = ServeTls(TlsOptions());
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto ctx = ClientContext(nullptr, version);
    // Which alert it is, OpenSSL decides: without a certificate no version and no cipher suite is left.
    EXPECT_THAT(Refusal(address, ctx.get()), AnyOf(HasSubstr("handshake failure"), HasSubstr("protocol version")));
  }
  ASSERT_THAT(context_->Swap(Options(ClientCertificates::kNone)), IsOk());
  auto ctx = ClientContext(nullptr);
  H2Client client(address, ctx.get());
  EXPECT_EQ(Who(client), "nobody 0 TLSv1.3 full");
}

TEST_F(TlsTest, BadOptionsAreRefusedAndChangeNothing) {
  const std::string address = ServeTls(Options(ClientCertificates::kNone));
  TlsOptions wrong_key = Options(ClientCertificates::kNone);
  wrong_key.private_key.reset(EVP_EC_gen("P-256"));
  EXPECT_THAT(context_->Swap(std::move(wrong_key)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not belong")));
  TlsOptions no_verifier = Options(ClientCertificates::kOptional);
  no_verifier.verifier = nullptr;
  EXPECT_THAT(context_->Swap(std::move(no_verifier)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("verifier")));
  TlsOptions garbage = Options(ClientCertificates::kNone);
  garbage.certificate_chain_der.push_back("garbage");
  EXPECT_THAT(context_->Swap(std::move(garbage)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate 2")));
  TlsOptions key_alone;
  key_alone.private_key.reset(EVP_EC_gen("P-256"));
  EXPECT_THAT(TlsContext::Create(std::move(key_alone)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no server certificate")));
  auto ctx = ClientContext(nullptr);
  H2Client client(address, ctx.get());
  EXPECT_EQ(Who(client), "nobody 0 TLSv1.3 full");
}

TEST_F(TlsTest, PemIsSplitIntoCertificates) {
  const std::string pem = [this] {
    BioPtr bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate_.certificate.get());
    PEM_write_bio_X509(bio.get(), certificate_.certificate.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  }();
  auto chain = CertificatesFromPem(pem);
  ASSERT_THAT(chain, IsOk());
  EXPECT_THAT(*chain, testing::ElementsAre(certificate_.der(), certificate_.der()));
  EXPECT_THAT(CertificatesFromPem("no pem"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CertificatesFromPem(pem.substr(0, pem.size() - 40)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate 2")));
}

TEST_F(TlsTest, LargeMessagesGoBothWays) {
  const std::string address = ServeTls(Options(ClientCertificates::kNone));
  auto ctx = ClientContext(nullptr);
  H2Client client(address, ctx.get());
  const std::string large(250'000, 'z');
  EXPECT_THAT(client.Call("/t.Test/Echo", large).messages(), testing::ElementsAre(large));
}

TEST_F(TlsTest, HandshakesWaitForTheirTurnAndAllGetIt) {
  auto context = TlsContext::Create(Options(ClientCertificates::kNone));
  ListenerOptions listener;
  listener.tls = *context;
  listener.limits.handshake_timeout = absl::Hours(1);  // Nobody is cut here, however slow the machine.
  listener.limits.handshake_stall = absl::Hours(1);
  ServerOptions server = {.loops = 2};
  server.source.handshakes_max = 2;
  const std::string address = Serve(std::move(listener), server);
  // Two stalled ClientHellos hold both turns before anybody else comes; the others wait until the stalled ones are
  // gone.
  std::vector<UniqueFd> stalled;
  for (int i = 0; i < 2; ++i) {
    stalled.push_back(ConnectTo(address));
    ASSERT_EQ(::write(stalled.back().get(), "\x16\x03\x01\x02\x00\x01", 6), 6);
  }
  ASSERT_TRUE(Eventually([this] { return server_->stats().handshakes_open == 2; }));
  std::vector<std::thread> threads;
  threads.reserve(8);
  std::atomic<int> served{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto ctx = ClientContext(nullptr);
      SSL_CTX_sess_set_new_cb(ctx.get(), nullptr);  // sessions_ is one thread's.
      H2Client client(address, ctx.get());
      if (Who(client) == "nobody 0 TLSv1.3 full") ++served;
    });
  }
  // A failure here must not leave the threads behind unjoined, so it ends their wait first.
  EXPECT_TRUE(Eventually([this] { return server_->stats().connections_open == 10; }));
  EXPECT_EQ(server_->stats().handshakes_ok, 0);
  stalled.clear();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(served, 8);
}

TEST_F(TlsTest, AStalledHandshakeIsCutAtItsTimeout) {
  auto context = TlsContext::Create(Options(ClientCertificates::kNone));
  ListenerOptions listener;
  listener.tls = *context;
  listener.limits.handshake_timeout = absl::Milliseconds(50);
  const std::string address = Serve(std::move(listener));
  const UniqueFd silent = ConnectTo(address);
  const UniqueFd half = ConnectTo(address);
  ASSERT_EQ(::write(half.get(), "\x16\x03\x01\x02\x00\x01", 6), 6);
  EXPECT_TRUE(Eventually([this] { return Limit(LimitKind::kHandshakeTimeout) == 2; }));
  EXPECT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
}

// ---- taking trust away

std::vector<std::string> NamesOf(const std::vector<std::shared_ptr<const Peer>>& peers) {
  std::vector<std::string> names;
  for (const auto& peer : peers) names.push_back(*static_cast<const std::string*>(peer->identity.get()));
  return names;
}

TEST_F(TlsTest, CertifiedPeersAreThoseWithACertificateThatAreServedNow) {
  const std::string address = ServeTls(Options(ClientCertificates::kOptional));
  EXPECT_THAT(server_->CertifiedPeers(), testing::IsEmpty());
  const TestCertificate web = MakeCertificate("web");
  const TestCertificate api = MakeCertificate("api");
  auto with_web = ClientContext(&web);
  auto with_api = ClientContext(&api);
  auto without = ClientContext(nullptr);
  H2Client first(address, with_web.get());
  H2Client nobody(address, without.get());
  EXPECT_EQ(Who(first), "web 1 TLSv1.3 full");
  EXPECT_EQ(Who(nobody), "nobody 0 TLSv1.3 full");
  {
    H2Client second(address, with_api.get());
    EXPECT_EQ(Who(second), "api 1 TLSv1.3 full");
    EXPECT_THAT(NamesOf(server_->CertifiedPeers()), testing::UnorderedElementsAre("web", "api"));
  }
  EXPECT_TRUE(Eventually([this] { return server_->CertifiedPeers().size() == 1; }));
  EXPECT_THAT(NamesOf(server_->CertifiedPeers()), testing::ElementsAre("web"));
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_THAT(server_->CertifiedPeers(), testing::IsEmpty());
}

TEST_F(TlsTest, ACutConnectionEndsItsCallsUnauthenticatedAndIsClosedAtOnce) {
  const std::string address = ServeTls(Options(ClientCertificates::kRequired));
  const TestCertificate web = MakeCertificate("web");
  const TestCertificate api = MakeCertificate("api");
  auto with_web = ClientContext(&web);
  auto with_api = ClientContext(&api);
  H2Client cut(address, with_web.get());
  H2Client other(address, with_api.get());
  const int32_t stream = cut.Open("/t.Test/Chat");
  cut.SendMessage(stream, "hello");
  ASSERT_TRUE(cut.WaitMessages(stream, 1));
  const int32_t waiting = cut.Start("/t.Test/Keep", "");
  ASSERT_TRUE(cut.RunUntil([this] { return kept().size() == 1; }));
  EXPECT_EQ(Who(other), "api 1 TLSv1.3 full");

  std::vector<uint64_t> ids = {987'654'321};  // one that is long gone
  for (const auto& peer : server_->CertifiedPeers()) {
    if (*static_cast<const std::string*>(peer->identity.get()) == "web") ids.push_back(peer->connection_id);
  }
  server_->Cut(ids, "the certificate is revoked");
  EXPECT_TRUE(cut.WaitEnd()) << "it waits for a call that nobody answers";
  for (const int32_t call : {stream, waiting}) {
    EXPECT_EQ(cut.reply(call).status(), 16) << call;
    EXPECT_EQ(cut.reply(call).Find("grpc-message"), "the certificate is revoked") << call;
  }
  EXPECT_EQ(cut.goaway_text(), "the certificate is revoked");
  EXPECT_EQ(cut.goaway_error(), static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  {
    MutexLock lock(chat_.mutex);
    ASSERT_EQ(chat_.closed.size(), 1u);
    EXPECT_THAT(chat_.closed[0], StatusIs(absl::StatusCode::kUnauthenticated, "the certificate is revoked"));
  }
  ASSERT_EQ(kept().size(), 1u);
  EXPECT_TRUE(kept()[0]->cancelled());
  kept()[0]->Finish(Frame("too late"));
  EXPECT_EQ(Limit(LimitKind::kWithdrawn), 1u);
  EXPECT_EQ(Who(other), "api 1 TLSv1.3 full") << "nobody else is touched";
}

TEST_F(TlsTest, ACutConnectionTellsItsStreamsThoughTheirWindowsAreShut) {
  const std::string address = ServeTls(Options(ClientCertificates::kRequired));
  const TestCertificate web = MakeCertificate("web");
  auto with_web = ClientContext(&web);
  H2Client client(address, with_web.get(), nullptr, /*manual_window=*/true);
  const nghttp2_settings_entry shut = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
  nghttp2_submit_settings(client.session(), 0, &shut, 1);
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendMessage(stream, "hello");
  ASSERT_TRUE(client.RunUntil([&] { return client.reply(stream).Find(":status") == "200"; }));
  const auto peers = server_->CertifiedPeers();
  ASSERT_EQ(peers.size(), 1u);
  server_->Cut({peers[0]->connection_id}, "the certificate is revoked");
  ASSERT_TRUE(client.WaitEnd());
  EXPECT_EQ(client.reply(stream).data, "");
  EXPECT_EQ(client.reply(stream).status(), 16);
  EXPECT_EQ(client.reply(stream).Find("grpc-message"), "the certificate is revoked");
}

TEST_F(TlsTest, ACutConnectionIsGoneWithinASecondThoughACallWaits) {
  const std::string address = ServeTls(Options(ClientCertificates::kRequired));
  const TestCertificate web = MakeCertificate("web");
  auto with_web = ClientContext(&web);
  // The quickest of three tells how long the server takes; each alone may tell of a pause of the machine.
  absl::Duration quickest = absl::InfiniteDuration();
  for (size_t round = 1; round <= 3; ++round) {
    H2Client client(address, with_web.get());
    client.Start("/t.Test/Keep", "");
    ASSERT_TRUE(client.RunUntil([&] { return kept().size() == round; }));
    const auto peers = server_->CertifiedPeers();
    ASSERT_EQ(peers.size(), 1u);
    const absl::Time begun = absl::Now();
    server_->Cut({peers[0]->connection_id}, "gone");
    ASSERT_TRUE(client.WaitEnd());
    quickest = std::min(quickest, absl::Now() - begun);
    ASSERT_TRUE(Eventually([this] { return server_->CertifiedPeers().empty(); }));
  }
  EXPECT_LT(quickest, absl::Seconds(1));
}

TEST_F(TlsTest, ACutConnectionThatDoesNotReadIsClosedAllTheSame) {
  const std::string address = ServeTls(Options(ClientCertificates::kRequired));
  const TestCertificate web = MakeCertificate("web");
  auto with_web = ClientContext(&web);
  H2Client client(address, with_web.get());
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendMessage(stream, "flood 1000");
  ASSERT_TRUE(client.WaitMessages(stream, 1));
  const auto peers = server_->CertifiedPeers();
  ASSERT_EQ(peers.size(), 1u);
  server_->Cut({peers[0]->connection_id}, "gone");
  EXPECT_TRUE(Eventually([this] {
    MutexLock lock(chat_.mutex);
    return chat_.closed.size() == 1;
  }));
  EXPECT_TRUE(Eventually([this] { return server_->CertifiedPeers().empty(); }));
  EXPECT_TRUE(client.WaitEnd());
}

}  // namespace
}  // namespace meshca::rpc
