// What a client may not do to a stream any more, and nghttp2, which forgets a stream when it closes, does not notice.
#ifndef MESHCA_CA_RPC_STREAM_HISTORY_H_
#define MESHCA_CA_RPC_STREAM_HISTORY_H_

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace meshca::rpc {

// nghttp2 tells of HEADERS and RST_STREAM for closed streams; DATA for them it drops without a word.
//
// Remembers the last streams that the client ended, and the last range of numbers that it left out. Anything more would
// be memory that clients could make us hold: RFC 9113 §5.1 allows to drop what comes for a closed stream, and requires
// it where we closed the stream and the client may not know yet.
class StreamHistory {
 public:
  // Takes note of a frame that begins. `open`: its stream is open, or was not begun yet. Returns NGHTTP2_NO_ERROR, or
  // the error that ends the connection:
  //   STREAM_CLOSED    DATA or HEADERS on a closed stream, behind the client's END_STREAM or RST_STREAM   RFC 9113 §5.1
  //   PROTOCOL_ERROR   HEADERS for a number that was left out before                                      RFC 9113
  //   §5.1.1 PROTOCOL_ERROR   PRIORITY on stream 0                                                               RFC
  //   9113 §6.3
  uint32_t Judge(const nghttp2_frame_hd& header, bool open);

 private:
  bool Ended(int32_t stream) const;

  std::array<int32_t, 8> ended_{};  // a ring; 0 is no stream of a client
  uint32_t next_ended_ = 0;
  int32_t newest_ = -1;  // so that 1 is the next
  int32_t skipped_first_ = 0;
  int32_t skipped_last_ = -1;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_STREAM_HISTORY_H_
