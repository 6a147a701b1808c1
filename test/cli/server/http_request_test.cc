#include "cli/server/http_request.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meshca::cli {
namespace {

constexpr size_t kMax = 256;

struct RequestCase {
  const char* name;
  std::string bytes;
  int refusal;       // 0: not refused
  const char* path;  // "" while more is needed, or refused
  bool is_head = false;
};

class HttpRequestTest : public testing::TestWithParam<RequestCase> {};

TEST_P(HttpRequestTest, IsReadOrRefused) {
  const HttpRequest request = ReadRequest(GetParam().bytes, kMax);
  EXPECT_EQ(request.refusal, GetParam().refusal);
  EXPECT_EQ(request.state == HttpRequest::State::kRefused, GetParam().refusal != 0);
  EXPECT_EQ(request.state == HttpRequest::State::kComplete, *GetParam().path != '\0');
  EXPECT_EQ(request.path, GetParam().path);
  EXPECT_EQ(request.is_head, GetParam().is_head);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc9112, HttpRequestTest,
    testing::Values(RequestCase{"Get", "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/livez"},
                    RequestCase{"Http10", "GET / HTTP/1.0\r\n\r\n", 0, "/"},
                    RequestCase{"Head", "HEAD /metrics HTTP/1.1\r\n\r\n", 0, "/metrics", true},
                    RequestCase{"Query", "GET /metrics?name[]=x HTTP/1.1\r\n\r\n", 0, "/metrics"},
                    RequestCase{"AbsoluteForm", "GET http://host:80/readyz?x HTTP/1.1\r\n\r\n", 0, "/readyz"},
                    RequestCase{"AbsoluteFormWithoutPath", "GET http://host HTTP/1.1\r\n\r\n", 0, "/"},
                    RequestCase{"BodyAfterTheHead", "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 0, "/"},
                    RequestCase{"Nothing", "", 0, ""}, RequestCase{"HalfALine", "GET /met", 0, ""},
                    RequestCase{"HeadNotEnded", "GET / HTTP/1.1\r\nHost: a\r\n", 0, ""},
                    RequestCase{"Post", "POST / HTTP/1.1\r\n\r\n", 405, ""},
                    RequestCase{"LowerCaseMethod", "get / HTTP/1.1\r\n\r\n", 405, ""},
                    RequestCase{"NoVersion", "GET /\r\n\r\n", 400, ""},
                    RequestCase{"OtherProtocol", "GET / GOPHER/1\r\n\r\n", 400, ""},
                    RequestCase{"Http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, ""},
                    RequestCase{"VersionWithoutDigit", "GET / HTTP/1.x\r\n\r\n", 505, ""},
                    RequestCase{"TlsHello", std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\n", 9), 400, ""},
                    RequestCase{"BareLineFeed", "GET / HTTP/1.1\n\n", 400, ""},
                    RequestCase{"NulInAHeader", std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24), 400, ""},
                    RequestCase{"TwoSpaces", "GET  / HTTP/1.1\r\n\r\n", 400, ""},
                    RequestCase{"EmptyTarget", "GET  HTTP/1.1\r\n\r\n", 400, ""},
                    RequestCase{"Asterisk", "GET * HTTP/1.1\r\n\r\n", 400, ""},
                    RequestCase{"ControlByteInTheTarget", "GET /\x01 HTTP/1.1\r\n\r\n", 400, ""},
                    RequestCase{"ExactlyFull",
                                absl::StrCat("GET / HTTP/1.1\r\nA: ", std::string(kMax - 23, 'x'), "\r\n\r\n"), 0, "/"},
                    RequestCase{"OneByteTooLong",
                                absl::StrCat("GET / HTTP/1.1\r\nA: ", std::string(kMax - 22, 'x'), "\r\n\r\n"), 431,
                                ""},
                    RequestCase{"EndlessLine", std::string(kMax, 'G'), 431, ""}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(HttpRequest, IsTheSameHoweverItArrives) {
  const std::string bytes = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(ReadRequest(bytes.substr(0, size), kMax).state, HttpRequest::State::kIncomplete) << size;
  }
}

}  // namespace
}  // namespace meshca::cli
