#include "ca/http/message_reader.h"

#include <gmock/gmock.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace meshca::http {
namespace {

using testing::HasSubstr;

constexpr size_t kBytesMax = 100;

// All of it at once, and byte by byte: where a piece ends changes nothing.
absl::Status Read(absl::string_view bytes, size_t piece, ResponseReader& response) {
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (absl::Status taken = response.Take(bytes.substr(at, piece)); !taken.ok()) return taken;
  }
  return response.done() ? absl::OkStatus() : response.End();
}

std::string Repeat(absl::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, text);
  return all;
}

constexpr char kHints[] = "HTTP/1.1 103 Early Hints\r\nLink: </keys.css>; rel=preload\r\nContent-Length: 7\r\n\r\n";
constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkeys";
constexpr char kChunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";

struct ReadCase {
  const char* name;
  std::string bytes;
};

class ResponseReaderGives : public testing::TestWithParam<ReadCase> {};

TEST_P(ResponseReaderGives, GivesTheBody) {
  for (const size_t piece : {GetParam().bytes.size(), size_t{1}, size_t{7}}) {
    ResponseReader response(kBytesMax);
    EXPECT_EQ(Read(GetParam().bytes, piece, response), absl::OkStatus());
    EXPECT_EQ(response.status(), 200);
    EXPECT_EQ(response.body(), "keys");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Answers, ResponseReaderGives,
    testing::Values(
        ReadCase{"Length", kOk}, ReadCase{"MoreBehindIt", absl::StrCat(kOk, "HTTP/1.1 500")},
        ReadCase{"EarlyHints", absl::StrCat(kHints, kOk)},
        ReadCase{"Continue", absl::StrCat("HTTP/1.1 100 Continue\r\n\r\n", kHints, kOk)},
        ReadCase{"EightInterim", absl::StrCat(Repeat(kHints, 8), kOk)},
        ReadCase{"Chunks", absl::StrCat(kChunked, "2\r\nke\r\n02\r\nys\r\n0\r\n\r\n")},
        ReadCase{"ChunkExtensions", absl::StrCat(kChunked, "4 ;a=\"b\"\r\nkeys\r\n0;last\r\n\r\n")},
        ReadCase{"Trailers", absl::StrCat(kChunked, "4\r\nkeys\r\n0\r\nX-Sum: 12\r\nServer-Timing: a\r\n\r\n")},
        ReadCase{"EarlyHintsAndTrailers", absl::StrCat(kHints, kChunked, "4\r\nkeys\r\n0\r\nX-Sum: 12\r\n\r\n")},
        ReadCase{"ToTheEnd", "HTTP/1.0 200 OK\r\nContent-Type: x/y\r\n\r\nkeys"},
        ReadCase{"NoReason", "HTTP/1.1 200\r\ncontent-length:4\r\n\r\nkeys"},
        ReadCase{"TwiceTheSameLength", "HTTP/1.1 200 \r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nkeys"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ResponseReader, AnotherStatusIsKnownByItsHead) {
  ResponseReader response(kBytesMax);
  EXPECT_EQ(response.Take("HTTP/1.1 404 Not Found\r\nContent-Length: 999999\r\n\r\n"), absl::OkStatus());
  EXPECT_TRUE(response.done());
  EXPECT_EQ(response.status(), 404);
}

TEST(ResponseReader, ReadsTheBodyOfAnotherStatusWhereItIsWanted) {
  ResponseReader response(kBytesMax, Bodies::kAll);
  EXPECT_EQ(response.Take("HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nold"), absl::OkStatus());
  EXPECT_TRUE(response.done());
  EXPECT_EQ(response.body(), "old");
}

TEST(ResponseReader, GivesHeadersAndPiecesOfTheBodyAsTheyCome) {
  ResponseReader response(kBytesMax);
  ASSERT_EQ(response.Take(absl::StrCat(kChunked, "2\r\nke\r\n")), absl::OkStatus());
  EXPECT_TRUE(response.head_done());
  EXPECT_EQ(*response.headers().Find("trailer"), "X-Sum");
  EXPECT_EQ(response.TakeBody(), "ke");
  ASSERT_EQ(response.Take("60\r\n"), absl::OkStatus());
  EXPECT_EQ(response.Take("\r\n"), absl::OkStatus());
  EXPECT_EQ(response.TakeBody(), "\r\n");
  EXPECT_FALSE(response.done());
}

TEST(ResponseReader, PiecesThatWereTakenCountAgainstTheBound) {
  ResponseReader response(kBytesMax);
  ASSERT_EQ(response.Take(absl::StrCat(kChunked, "60\r\n", std::string(96, 'x'), "\r\n")), absl::OkStatus());
  EXPECT_EQ(response.TakeBody().size(), 96u);
  EXPECT_THAT(std::string(response.Take("5\r\n").message()), HasSubstr("longer than 100 bytes"));
}

struct AgainCase {
  const char* name;
  std::string bytes;
  bool again;
};

class ResponseReaderKeepsAlive : public testing::TestWithParam<AgainCase> {};

TEST_P(ResponseReaderKeepsAlive, OnlyWhereNothingOfTheConnectionIsInDoubt) {
  ResponseReader response(kBytesMax);
  ASSERT_EQ(Read(GetParam().bytes, GetParam().bytes.size(), response), absl::OkStatus());
  EXPECT_EQ(response.keep_alive(), GetParam().again);
}

INSTANTIATE_TEST_SUITE_P(
    Answers, ResponseReaderKeepsAlive,
    testing::Values(AgainCase{"Length", kOk, true},
                    AgainCase{"Chunks", absl::StrCat(kChunked, "4\r\nkeys\r\n0\r\n\r\n"), true},
                    AgainCase{"BytesBehindTheEnd", absl::StrCat(kOk, "HTTP/1.1 200 OK\r\n"), false},
                    AgainCase{"Http10", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nkeys", false},
                    AgainCase{"Close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nkeys", false},
                    AgainCase{"ToTheEnd", "HTTP/1.1 200 OK\r\n\r\nkeys", false},
                    AgainCase{"UnreadBody", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n", false}),
    [](const auto& info) { return std::string(info.param.name); });

struct RefuseCase {
  const char* name;
  std::string bytes;
  std::string words;
};

class ResponseReaderRefuses : public testing::TestWithParam<RefuseCase> {};

TEST_P(ResponseReaderRefuses, SaysWhy) {
  for (const size_t piece : {GetParam().bytes.size(), size_t{1}}) {
    ResponseReader response(kBytesMax);
    const absl::Status refused = Read(GetParam().bytes, piece, response);
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.message()), HasSubstr(GetParam().words));
    EXPECT_LE(response.body().size(), kBytesMax);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Answers, ResponseReaderRefuses,
    testing::Values(
        RefuseCase{"NineInterim", absl::StrCat(Repeat(kHints, 9), kOk), "more than 8 interim"},
        RefuseCase{"SwitchingProtocols", "HTTP/1.1 101 Switching\r\n\r\n", "another protocol"},
        RefuseCase{
            "LargeInterimHead",
            absl::StrCat(Repeat(absl::StrCat("HTTP/1.1 103 \r\n", Repeat("X: aaaaaaaa\r\n", 900), "\r\n"), 6), kOk),
            "head is longer than 65536 bytes"},
        RefuseCase{"LargeHead", absl::StrCat("HTTP/1.1 200 OK\r\n", Repeat("X: aaaaaaaa\r\n", 6000)),
                   "head is longer than 65536 bytes"},
        // The blank that "HTTP/1.1 200" lacks is put in where the head is full to its last byte.
        RefuseCase{"FullHeadBeforeAStatusWithoutReason",
                   absl::StrCat("HTTP/1.1 103 \r\n", Repeat("X: aaaaaaaa\r\n", 5038), "X: aaaaaa\r\n\r\n",
                                "HTTP/1.1 200\r\n", Repeat("X: aaaaaaaa\r\n", 600)),
                   "head is longer than 65536 bytes"},
        RefuseCase{"LargeTrailers", absl::StrCat(kChunked, "4\r\nkeys\r\n0\r\n", Repeat("X: aaaaaaaa\r\n", 1500)),
                   "trailers are longer than 16384 bytes"},
        RefuseCase{"LongLine", absl::StrCat("HTTP/1.1 200 OK\r\nX: ", std::string(9000, 'x')),
                   "line is longer than 8192 bytes"},
        RefuseCase{"LongChunkExtension", absl::StrCat(kChunked, "4;", std::string(9000, 'x')),
                   "line is longer than 8192 bytes"},
        RefuseCase{"TooLong", "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "longer than 100 bytes"},
        RefuseCase{"TooLongInChunks", absl::StrCat(kChunked, "60\r\n", std::string(96, 'x'), "\r\n5\r\n"),
                   "longer than 100 bytes"},
        RefuseCase{"TooLongToTheEnd", absl::StrCat("HTTP/1.1 200 OK\r\n\r\n", std::string(101, 'x')),
                   "longer than 100 bytes"},
        RefuseCase{"HugeChunk", absl::StrCat(kChunked, "ffffffffffffffff\r\n"), "longer than 100 bytes"},
        RefuseCase{"ChunkLengthOverflows", absl::StrCat(kChunked, "10000000000000001\r\n"), "size of a chunk"},
        RefuseCase{"NegativeChunk", absl::StrCat(kChunked, "-1\r\n"), "size of a chunk"},
        RefuseCase{"ChunkLongerThanItSays", absl::StrCat(kChunked, "3\r\nkeys\r\n0\r\n\r\n"), "longer than it says"},
        RefuseCase{"EndsInABody", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nkeys", "ended in the middle"},
        RefuseCase{"EndsInTrailers", absl::StrCat(kChunked, "4\r\nkeys\r\n0\r\nX-Sum: 12\r\n"), "ended in the middle"},
        RefuseCase{"EndsAfterEarlyHints", kHints, "ended in the middle"}, RefuseCase{"Nothing", "", "ended in the"},
        RefuseCase{"TwoLengths", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", "Content-Length"},
        RefuseCase{"LengthOfNoDigits", "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\n", "Content-Length"},
        RefuseCase{"LengthAndChunks", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
                   "a Content-Length and is chunked"},
        RefuseCase{"Gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not chunked"},
        RefuseCase{"SpaceBeforeTheColon", "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\n", "malformed"},
        RefuseCase{"FoldedLine", "HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\n\r\n", "malformed"},
        RefuseCase{"ListOfLengths", "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\nkeys", "Content-Length"},
        RefuseCase{"ChunksAndLength", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
                   "a Content-Length and is chunked"},
        RefuseCase{"ChunkedTwice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "not chunked"},
        RefuseCase{"FoldedLength", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 4\r\n\r\nkeys", "malformed"},
        RefuseCase{"ExtensionOverTheEndOfItsLine", absl::StrCat(kChunked, "4;a=\"\r\nkeys\"\r\n0\r\n\r\n"),
                   "extension of a chunk"},
        RefuseCase{"BareNewlines", "HTTP/1.1 200 OK\nContent-Length: 4\n\nkeys", "does not end in CR LF"},
        RefuseCase{"BareNewlineInChunks", absl::StrCat(kChunked, "4\nkeys\r\n0\r\n\r\n"), "does not end in CR LF"},
        RefuseCase{"NoStatus", "HTTP/1.1 \r\n\r\n", "no HTTP"},
        RefuseCase{"ShortVersion", "HTTP/1.\r\n\r\n", "no HTTP"},
        RefuseCase{"StatusBelow100", "HTTP/1.1 099 Early\r\n\r\n", "status line"},
        RefuseCase{"Http2", "PRI * HTTP/2.0\r\n\r\n", "status line"},
        RefuseCase{"Tls", "\x15\x03\x03\n", "status line"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca::http
