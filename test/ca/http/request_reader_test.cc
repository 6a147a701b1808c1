#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/http/message_reader.h"
#include "gtest/gtest.h"

namespace meshca::http {
namespace {

constexpr size_t kMax = 256;

using State = RequestReader::State;

struct RequestCase {
  const char* name;
  std::string bytes;
  int refusal;       // 0: not refused
  const char* path;  // "" while more is needed, or refused
  const char* method = "GET";
};

// All of it at once, and byte by byte: where a piece ends changes nothing.
class RequestReaderTest : public testing::TestWithParam<RequestCase> {};

TEST_P(RequestReaderTest, IsReadOrRefused) {
  for (const size_t piece : {std::max<size_t>(GetParam().bytes.size(), 1), size_t{1}}) {
    RequestReader reader(kMax, 0);
    absl::string_view rest = GetParam().bytes;
    while (!rest.empty() && reader.state() == State::kHead) {
      const absl::string_view next = rest.substr(0, piece);
      rest.remove_prefix(std::max<size_t>(reader.Take(next), reader.state() == State::kHead ? next.size() : 0));
    }
    EXPECT_EQ(reader.refusal(), GetParam().refusal);
    EXPECT_EQ(reader.state() == State::kRefused, GetParam().refusal != 0);
    const bool whole = *GetParam().path != '\0';
    EXPECT_EQ(reader.state() == State::kComplete || reader.state() == State::kBody, whole);
    if (!whole) continue;
    EXPECT_EQ(reader.request().path, GetParam().path);
    EXPECT_EQ(reader.request().method, GetParam().method);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rfc9112, RequestReaderTest,
    testing::Values(
        RequestCase{"Get", "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/livez"},
        RequestCase{"Http10", "GET / HTTP/1.0\r\n\r\n", 0, "/"},
        RequestCase{"Head", "HEAD /metrics HTTP/1.1\r\n\r\n", 0, "/metrics", "HEAD"},
        RequestCase{"Query", "GET /metrics?name[]=x HTTP/1.1\r\n\r\n", 0, "/metrics"},
        RequestCase{"AbsoluteForm", "GET http://host:80/readyz?x HTTP/1.1\r\n\r\n", 0, "/readyz"},
        RequestCase{"AbsoluteFormWithoutPath", "GET http://host HTTP/1.1\r\n\r\n", 0, "/"},
        RequestCase{"BodyAfterTheHead", "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 0, "/"},
        RequestCase{"Nothing", "", 0, ""}, RequestCase{"HalfALine", "GET /met", 0, ""},
        RequestCase{"HeadNotEnded", "GET / HTTP/1.1\r\nHost: a\r\n", 0, ""},
        RequestCase{"Post", "POST / HTTP/1.1\r\n\r\n", 0, "/", "POST"},
        RequestCase{"LowerCaseMethod", "get / HTTP/1.1\r\n\r\n", 0, "/", "get"},
        RequestCase{"NoVersion", "GET /\r\n\r\n", 400, ""},
        RequestCase{"OtherProtocol", "GET / GOPHER/1\r\n\r\n", 400, ""},
        RequestCase{"Http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, ""},
        RequestCase{"VersionWithoutDigit", "GET / HTTP/1.x\r\n\r\n", 505, ""},
        RequestCase{"TlsHello", std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\n", 9), 400, ""},
        RequestCase{"BareLineFeed", "GET / HTTP/1.1\n\n", 400, ""},
        RequestCase{"NulInAHeader", std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24), 400, ""},
        RequestCase{"NulBeforeTheEndOfALine", std::string("\x16\x03\x01\x00", 4), 400, ""},
        RequestCase{"FoldedHeader", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, ""},
        RequestCase{"SpaceBeforeTheColon", "GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 400, ""},
        RequestCase{"TwoLengths", "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, ""},
        RequestCase{"LengthAndChunks", "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
                    ""},
        RequestCase{"OtherTransferEncoding", "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, ""},
        RequestCase{"LaterHttp1", "GET / HTTP/1.2\r\n\r\n", 505, ""},
        RequestCase{"ShortWordForAVersion", "GET / 1\r\n\r\n", 400, ""},
        RequestCase{"NothingBehindTheTarget", "POST / \r\nContent-Length: 5\r\n\r\nhello", 400, ""},
        RequestCase{"MethodAlone", "GET\r\n\r\n", 400, ""},
        RequestCase{"TwoSpaces", "GET  / HTTP/1.1\r\n\r\n", 400, ""},
        RequestCase{"EmptyTarget", "GET  HTTP/1.1\r\n\r\n", 400, ""},
        RequestCase{"Asterisk", "GET * HTTP/1.1\r\n\r\n", 400, ""},
        RequestCase{"ControlByteInTheTarget", "GET /\x01 HTTP/1.1\r\n\r\n", 400, ""},
        RequestCase{"ExactlyFull", absl::StrCat("GET / HTTP/1.1\r\nA: ", std::string(kMax - 23, 'x'), "\r\n\r\n"), 0,
                    "/"},
        RequestCase{"OneByteTooLong", absl::StrCat("GET / HTTP/1.1\r\nA: ", std::string(kMax - 22, 'x'), "\r\n\r\n"),
                    431, ""},
        RequestCase{"EndlessLine", std::string(kMax, 'G'), 431, ""}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(RequestReader, IsTheSameHoweverItArrives) {
  const std::string bytes = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t size = 0; size < bytes.size(); ++size) {
    RequestReader reader(kMax, 0);
    EXPECT_EQ(reader.Take(absl::string_view(bytes).substr(0, size)), size);
    EXPECT_EQ(reader.state(), State::kHead) << size;
    reader.Take(absl::string_view(bytes).substr(size));
    EXPECT_EQ(reader.state(), State::kComplete) << size;
  }
}

// What goes in at once: how much of each step is used shows where the request ends.
TEST(RequestReader, ReadsABodyAndLeavesWhatComesBehindIt) {
  const std::string chunks = "POST /a?b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
  for (const std::string& bytes : {std::string("POST /a?b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), chunks}) {
    const std::string all = absl::StrCat(bytes, "GET /");
    RequestReader reader(kMax, 3);
    const size_t head = reader.Take(all);
    EXPECT_EQ(absl::string_view(all).substr(head - 4, 4), "\r\n\r\n");
    EXPECT_EQ(reader.state(), State::kBody);
    EXPECT_EQ(head + reader.Take(absl::string_view(all).substr(head)), bytes.size());
    EXPECT_EQ(reader.state(), State::kComplete);
    EXPECT_EQ(reader.request().body, "abc");
    EXPECT_EQ(reader.request().target, "/a?b");
    EXPECT_TRUE(reader.keep_alive());
  }
}

TEST(RequestReader, RefusesABodyThatIsTooLongBeforeAnyOfItIsHere) {
  RequestReader reader(kMax, 3);
  reader.Take("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(reader.state(), State::kBody);
  reader.Take("");
  EXPECT_EQ(reader.refusal(), 413);
}

TEST(RequestReader, RefusesChunksThatAreTooLong) {
  RequestReader reader(kMax, 3);
  reader.Take("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  reader.Take("2\r\nab\r\n2\r\ncd\r\n");
  EXPECT_EQ(reader.refusal(), 413);
}

TEST(RequestReader, KnowsWhoWouldAskAgain) {
  const auto again = [](absl::string_view bytes) {
    RequestReader reader(kMax, 0);
    reader.Take(bytes);
    return reader.keep_alive();
  };
  EXPECT_TRUE(again("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_FALSE(again("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
  EXPECT_FALSE(again("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(again("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_FALSE(again("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n")) << "its body is unread";
}

}  // namespace
}  // namespace meshca::http
