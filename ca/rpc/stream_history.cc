#include "ca/rpc/stream_history.h"

#include <algorithm>

namespace meshca::rpc {

bool StreamHistory::Ended(int32_t stream) const {
  return std::find(ended_.begin(), ended_.end(), stream) != ended_.end();
}

uint32_t StreamHistory::Judge(const nghttp2_frame_hd& header, bool open) {
  const int32_t stream = header.stream_id;
  if (header.type == NGHTTP2_PRIORITY) return stream == 0 ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_NO_ERROR;
  const bool reset = header.type == NGHTTP2_RST_STREAM;
  // Stream 0 is nghttp2's to refuse.
  if (stream == 0 || (!reset && header.type != NGHTTP2_DATA && header.type != NGHTTP2_HEADERS)) return NGHTTP2_NO_ERROR;

  if (!reset && !open) {
    if (Ended(stream)) return NGHTTP2_STREAM_CLOSED;
    const bool skipped = skipped_first_ <= stream && stream <= skipped_last_;
    if (skipped && header.type == NGHTTP2_HEADERS) return NGHTTP2_PROTOCOL_ERROR;
  }
  if (header.type == NGHTTP2_HEADERS && stream > newest_) {
    if (stream > newest_ + 2) {
      skipped_first_ = newest_ + 2;
      skipped_last_ = stream - 2;
    }
    newest_ = stream;
  }
  const bool ends = reset || (header.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (ends && !Ended(stream)) ended_[next_ended_++ % ended_.size()] = stream;
  return NGHTTP2_NO_ERROR;
}

}  // namespace meshca::rpc
