#include "ca/rpc/stream_history.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "test/ca/rpc/edge_fixture.h"

namespace meshca::rpc {
namespace {

constexpr bool kOpen = true;
constexpr bool kClosed = false;

nghttp2_frame_hd FrameHead(uint8_t type, int32_t stream, uint8_t flags = 0) {
  nghttp2_frame_hd header{};
  header.type = type;
  header.stream_id = stream;
  header.flags = flags;
  return header;
}

TEST(StreamHistory, NothingFollowsTheClientsEndOfAClosedStream) {
  for (const nghttp2_frame_hd& end :
       {FrameHead(NGHTTP2_DATA, 1, NGHTTP2_FLAG_END_STREAM), FrameHead(NGHTTP2_RST_STREAM, 1)}) {
    for (const uint8_t late : {NGHTTP2_DATA, NGHTTP2_HEADERS}) {
      StreamHistory history;
      EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 1), kOpen), NGHTTP2_NO_ERROR);
      EXPECT_EQ(history.Judge(end, kOpen), NGHTTP2_NO_ERROR);
      EXPECT_EQ(history.Judge(FrameHead(late, 1), kOpen), NGHTTP2_NO_ERROR) << "nghttp2 judges open streams";
      EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_WINDOW_UPDATE, 1), kClosed), NGHTTP2_NO_ERROR);
      EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_RST_STREAM, 1), kClosed), NGHTTP2_NO_ERROR);
      EXPECT_EQ(history.Judge(FrameHead(late, 1), kClosed), NGHTTP2_STREAM_CLOSED);
    }
  }
}

TEST(StreamHistory, WhatComesForAStreamThatWeClosedIsOnItsWayAndTaken) {
  StreamHistory history;
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 1), kOpen), NGHTTP2_NO_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_DATA, 1), kClosed), NGHTTP2_NO_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 1, NGHTTP2_FLAG_END_STREAM), kClosed), NGHTTP2_NO_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_DATA, 1), kClosed), NGHTTP2_STREAM_CLOSED) << "behind its end";
}

TEST(StreamHistory, ANumberThatWasLeftOutIsNotUsedLater) {
  StreamHistory history;
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 5), kOpen), NGHTTP2_NO_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 7), kOpen), NGHTTP2_NO_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 3), kClosed), NGHTTP2_PROTOCOL_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, 5), kClosed), NGHTTP2_NO_ERROR) << "late trailers";
}

TEST(StreamHistory, PriorityNamesAStream) {
  StreamHistory history;
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_PRIORITY, 0), kClosed), NGHTTP2_PROTOCOL_ERROR);
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_PRIORITY, 9), kClosed), NGHTTP2_NO_ERROR);
}

TEST(StreamHistory, OnlyTheLastEndsAreRemembered) {
  StreamHistory history;
  for (int32_t stream = 1; stream < 40; stream += 2) {
    EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_HEADERS, stream, NGHTTP2_FLAG_END_STREAM), kOpen), NGHTTP2_NO_ERROR);
  }
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_DATA, 1), kClosed), NGHTTP2_NO_ERROR) << "dropped, which RFC 9113 allows";
  EXPECT_EQ(history.Judge(FrameHead(NGHTTP2_DATA, 39), kClosed), NGHTTP2_STREAM_CLOSED);
}

class StreamHistoryTest : public EdgeTest {};

TEST_F(StreamHistoryTest, HeadersBehindTheEndOfAnAnsweredCallEndTheConnection) {
  H2Client client(Serve());
  ASSERT_EQ(client.Call("/t.Test/Echo", "x").status(), 0);
  // One indexed field, END_HEADERS and END_STREAM, on stream 1.
  const std::string headers("\0\0\x01\x01\x05\0\0\0\x01\x82", 10);
  ASSERT_EQ(::send(client.fd(), headers.data(), headers.size(), MSG_NOSIGNAL), static_cast<ssize_t>(headers.size()));
  ASSERT_TRUE(client.WaitEnd());
  EXPECT_EQ(client.goaway_error(), static_cast<uint32_t>(NGHTTP2_STREAM_CLOSED));
}

}  // namespace
}  // namespace meshca::rpc
