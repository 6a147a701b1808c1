// Who speaks something else than the port does is cut, and the log says why and what would help.
#include "ca/rpc/client_mistakes.h"

#include <sys/socket.h>

#include <string>

#include "test/ca/rpc/edge_fixture.h"
#include "test/ca/rpc/test_certificates.h"

namespace meshca::rpc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ClientMistakeLog, OneHostsMistakeIsToldOnceAMinuteWithTheNumberOfOthers) {
  ClientMistakeLog log;
  EXPECT_EQ(log.Due(ClientMistake::kNoAlpn, "192.0.2.7:1", 5), 0u);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(log.Due(ClientMistake::kNoAlpn, absl::StrCat("192.0.2.7:", i), 6), std::nullopt);
  }
  EXPECT_EQ(log.Due(ClientMistake::kHttp1, "192.0.2.7:1", 7), 0u) << "another mistake";
  EXPECT_EQ(log.Due(ClientMistake::kNoAlpn, "192.0.2.7:2", 5 + ClientMistakeLog::kEveryNs), 1000u);
}

TEST(ClientMistakeLog, AFloodFromManyHostsIsAFewLinesAMinute) {
  ClientMistakeLog log;
  size_t lines = 0;
  for (int i = 0; i < 10'000; ++i) {
    lines += log.Due(ClientMistake::kNoAlpn, absl::StrCat("[2001:db8::", i, "]:443"), 5).has_value() ? 1 : 0;
  }
  EXPECT_GT(lines, 1u) << "one host does not hide all others";
  EXPECT_LE(lines, ClientMistakeLog::kSlots);
}

TEST(ClientMistakeLog, AUnixPeersProcessesAreOneHost) {
  ClientMistakeLog log;
  EXPECT_TRUE(log.Due(ClientMistake::kHttp1, "unix:uid=1000,pid=1", 5).has_value());
  EXPECT_FALSE(log.Due(ClientMistake::kHttp1, "unix:uid=1000,pid=2", 5).has_value());
}

struct MistakeCase {
  const char* name;
  bool tls;        // the listener's
  bool handshake;  // the client does one, with `sent` as its ALPN; otherwise it sends `sent`
  std::string sent;
  const char* what;
  const char* advice;
};

class SpeaksSomethingElse : public EdgeTest, public testing::WithParamInterface<MistakeCase> {};

TEST_P(SpeaksSomethingElse, IsCutAndTheLogSaysWhyAndWhatHelps) {
  ListenerOptions listener;
  if (GetParam().tls) {
    auto context = TlsContext::Create(ServerOptionsWith(MakeCertificate("server")));
    ASSERT_THAT(context, IsOk());
    listener.tls = *context;
  }
  const std::string address = Serve(std::move(listener), {.loops = 1});
  testing::internal::CaptureStderr();
  if (GetParam().handshake) {
    SslContextPtr ctx(SSL_CTX_new(TLS_client_method()));
    const std::string& alpn = GetParam().sent;
    SSL_CTX_set_alpn_protos(ctx.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                            static_cast<unsigned int>(alpn.size()));
    EXPECT_FALSE(H2Client(address, ctx.get()).connected());
  } else {
    const UniqueFd client = ConnectTo(address);
    ASSERT_EQ(::send(client.get(), GetParam().sent.data(), GetParam().sent.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(GetParam().sent.size()));
    EXPECT_TRUE(Eventually([&client] {
      char byte = 0;
      const ssize_t size = ::recv(client.get(), &byte, 1, MSG_DONTWAIT);
      return size == 0 || (size < 0 && errno == ECONNRESET);
    })) << "cut";
  }
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr(GetParam().what), HasSubstr(GetParam().advice), HasSubstr("127.0.0.1:")));
}
INSTANTIATE_TEST_SUITE_P(
    Client, SpeaksSomethingElse,
    testing::Values(
        MistakeCase{"WithoutAlpn", true, true, "", "names no application protocol", "-alpn h2"},
        MistakeCase{"WithOtherAlpn", true, true, "\x08http/1.1", "\\\"h2\\\" is not among", "HTTP/1.1 elsewhere"},
        MistakeCase{"HttpOnTls", true, false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP request without TLS",
                    "over TLS"},
        MistakeCase{"PlaintextGrpcOnTls", true, false, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "is no TLS",
                    "TLS credentials"},
        MistakeCase{"TlsWithoutListenerTls", false, true, "\x02h2", "TLS where there is none", "without TLS"},
        MistakeCase{"Http1", false, false, "POST /x HTTP/1.1\r\n\r\n", "HTTP/1 request", "gRPC over HTTP/2"},
        MistakeCase{"NotHttp2", false, false, "SSH-2.0-OpenSSH_9\r\n", "no HTTP/2", "gRPC over HTTP/2"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca::rpc
