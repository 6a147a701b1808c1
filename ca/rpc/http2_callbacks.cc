#include "ca/rpc/http2_callbacks.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/rpc/connection.h"

namespace meshca::rpc {
namespace {

// A batch of output is written to the socket when it is this long: what one connection may keep when the socket takes
// nothing, and what others wait for at most.
constexpr size_t kBatchBytes = 64 * 1024;
// All streams of a connection together may have this much under way towards us; each one has HTTP/2's default, 64 KiB.
constexpr int32_t kConnectionWindow = 1024 * 1024;

ServerStream* StreamOf(nghttp2_session* session, int32_t id) {
  return static_cast<ServerStream*>(nghttp2_session_get_stream_user_data(session, id));
}

absl::string_view Text(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace

// A struct, because Connection lets it in by name.
struct Http2Callbacks {
  static Connection& Of(void* user_data) { return *static_cast<Connection*>(user_data); }
  // What a callback returns: failure ends mem_recv and mem_send at once.
  static int Verdict(const Connection& connection) { return connection.dead() ? NGHTTP2_ERR_CALLBACK_FAILURE : 0; }

  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* header, void* user_data) {
    return Of(user_data).OnFrameBegins(*header) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Of(user_data).AddStream(frame->hd.stream_id);
    }
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_bytes,
                      const uint8_t* value, size_t value_bytes, uint8_t, void* user_data) {
    ServerStream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      stream->OnHeader(Text(name, name_bytes), Text(value, value_bytes));
    } else {
      stream->OnTrailer(Text(name, name_bytes), Text(value, value_bytes));
    }
    return Verdict(Of(user_data));
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    ServerStream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_DATA) {
      if (ends) stream->OnDataEnd();
    } else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      stream->OnHeadersEnd(ends);
    } else {
      stream->OnTrailersEnd(ends);
    }
    if (ends && !Of(user_data).dead()) stream->OnHalfClose();
    return Verdict(Of(user_data));
  }

  static int OnDataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size,
                         void* user_data) {
    if (ServerStream* stream = StreamOf(session, id)) stream->OnData(Text(data, size));
    // The bytes are with the stream, within its limits, or dropped: the client may send as many again.
    nghttp2_session_consume(session, id, size);
    return Verdict(Of(user_data));
  }

  static int OnStreamClose(nghttp2_session* session, int32_t id, uint32_t error_code, void* user_data) {
    ServerStream* stream = StreamOf(session, id);
    if (stream == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    Of(user_data).RemoveStream(*stream, error_code, absl::OkStatus());
    return 0;
  }

  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Of(user_data).OnFrameSent(*frame);
    return Verdict(Of(user_data));
  }

  // nghttp2 drops HEADERS of more than 64 KiB, and tells nobody else. A handler that sets so much metadata has the call
  // fail; without an end its client would wait for ever.
  static int OnFrameNotSent(nghttp2_session* session, const nghttp2_frame* frame, int error, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS || error != NGHTTP2_ERR_FRAME_SIZE_ERROR) return 0;
    LogDebug("a call was reset: the metadata of its answer is above 64 KiB", {{"peer", Of(user_data).peer()->address}});
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    return 0;
  }

  static ssize_t ReadData(nghttp2_session*, int32_t, uint8_t*, size_t max, uint32_t* flags, nghttp2_data_source* source,
                          void*) {
    auto& stream = *static_cast<ServerStream*>(source->ptr);
    bool last = false;
    const size_t bytes = stream.NextDataBytes(max, last);
    // The end of this source, not of the stream: see ServerStream::OfferOutput.
    if (last) *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (bytes > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return static_cast<ssize_t>(bytes);
  }

  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header, size_t size,
                      nghttp2_data_source* source, void* user_data) {
    Connection& connection = Of(user_data);
    std::string& out = connection.loop().write_buffer();
    if (out.size() > kBatchBytes) {
      connection.output_blocked_ = true;
      return NGHTTP2_ERR_WOULDBLOCK;
    }
    constexpr size_t kFrameHeaderBytes = 9;
    out.append(reinterpret_cast<const char*>(frame_header), kFrameHeaderBytes);
    static_cast<ServerStream*>(source->ptr)->TakeData(size, out);
    return 0;
  }

  // Headers are decoded into this memory, tokens among them.
  static void WipeAndFree(void* memory) {
    OPENSSL_cleanse(memory, malloc_usable_size(memory));
    std::free(memory);
  }

  // nghttp2's memory, counted: whatever an attacker finds to make a session grow ends at session_bytes_max.
  static void Account(void* user_data, void* memory, bool taken) {
    const size_t bytes = malloc_usable_size(memory);
    Connection& connection = Of(user_data);
    connection.session_bytes_ = taken ? connection.session_bytes_ + bytes : connection.session_bytes_ - bytes;
  }
  static bool Allowed(void* user_data, size_t bytes) {
    Connection& connection = Of(user_data);
    if (connection.session_bytes_ + bytes <= connection.limits().session_bytes_max) return true;
    connection.out_of_memory_ = true;
    return false;
  }
  static void* Malloc(size_t size, void* user_data) {
    if (!Allowed(user_data, size)) return nullptr;
    void* memory = std::malloc(size);
    if (memory != nullptr) Account(user_data, memory, true);
    return memory;
  }
  static void Free(void* memory, void* user_data) {
    if (memory == nullptr) return;
    Account(user_data, memory, false);
    WipeAndFree(memory);
  }
  static void* Calloc(size_t count, size_t size, void* user_data) {
    if (size != 0 && count > SIZE_MAX / size) return nullptr;
    void* memory = Malloc(count * size, user_data);
    if (memory != nullptr) std::memset(memory, 0, count * size);
    return memory;
  }
  static void* Realloc(void* memory, size_t size, void* user_data) {
    if (memory == nullptr) return Malloc(size, user_data);
    const size_t before = malloc_usable_size(memory);
    if (size > before && !Allowed(user_data, size - before)) return nullptr;
    if (size <= before) return memory;
    void* moved = std::malloc(size);
    if (moved == nullptr) return nullptr;
    std::memcpy(moved, memory, before);
    WipeAndFree(memory);
    Connection& connection = Of(user_data);
    connection.session_bytes_ += malloc_usable_size(moved) - before;
    return moved;
  }
};

const nghttp2_session_callbacks* SessionCallbacks() {
  static const nghttp2_session_callbacks* const kCallbacks = [] {
    nghttp2_session_callbacks* callbacks = nullptr;
    MESHCA_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, Http2Callbacks::OnBeginFrame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Http2Callbacks::OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, Http2Callbacks::OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Http2Callbacks::OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Http2Callbacks::OnDataChunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Http2Callbacks::OnStreamClose);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Http2Callbacks::OnFrameSent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, Http2Callbacks::OnFrameNotSent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, Http2Callbacks::SendData);
    return callbacks;
  }();
  return kCallbacks;
}

Nghttp2OptionPtr SessionOptions(const ConnectionLimits& limits) {
  nghttp2_option* option = nullptr;
  MESHCA_CHECK(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  // RequestCheck judges the requests instead: nghttp2 refuses the :authority of clients on Unix sockets.
  nghttp2_option_set_no_http_messaging(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 1000);
  nghttp2_option_set_max_continuations(option, limits.continuations_max);
  // Resets are counted in connection.cc, with those of the source and in both directions.
  nghttp2_option_set_stream_reset_rate_limit(option, uint64_t{1} << 40, uint64_t{1} << 40);
  return Nghttp2OptionPtr(option);
}

nghttp2_data_source_read_callback DataReader() { return Http2Callbacks::ReadData; }

bool Connection::OpenSession() {
  nghttp2_mem memory = {this, Http2Callbacks::Malloc, Http2Callbacks::Free, Http2Callbacks::Calloc,
                        Http2Callbacks::Realloc};
  nghttp2_session* session = nullptr;
  if (nghttp2_session_server_new3(&session, SessionCallbacks(), this, listener_.http2_options.get(), &memory) != 0) {
    return false;
  }
  session_.reset(session);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits().streams_max},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits().header_bytes_max},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0 &&
         nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0;
}

bool Connection::OnFrameBegins(const nghttp2_frame_hd& header) {
  const bool ack = (header.flags & NGHTTP2_FLAG_ACK) != 0;
  const bool open = header.stream_id > nghttp2_session_get_last_proc_stream_id(session_.get()) ||
                    nghttp2_session_find_stream(session_.get(), header.stream_id) != nullptr;
  if (const uint32_t error = history_.Judge(header, open); error != NGHTTP2_NO_ERROR) {
    nghttp2_session_terminate_session(session_.get(), error);
    return true;
  }
  switch (header.type) {
    case NGHTTP2_CONTINUATION: return true;
    case NGHTTP2_HEADERS:
      if (open) return true;
      break;  // For a stream long closed: nghttp2 drops it, but not for nothing.
    case NGHTTP2_DATA:
      if (!open) break;
      if (header.length > 0 || (header.flags & NGHTTP2_FLAG_END_STREAM) != 0) return true;
      break;
    case NGHTTP2_RST_STREAM: return CountReset();
    case NGHTTP2_PING:
      if (ack) {
        ping_outstanding_ = false;
        break;
      }
      // gRPC clients probe the bandwidth with a PING beside each answer they read: those are free.
      if (std::exchange(answered_since_ping_, false)) return true;
      return Charge(pings_, limits().pings, source_->pings, loop_.edge().source.pings, LimitKind::kPings);
    case NGHTTP2_SETTINGS:
      if (ack) break;
      return Charge(settings_, limits().settings, source_->settings, loop_.edge().source.settings,
                    LimitKind::kSettings);
    default: break;
  }
  if (control_frames_.Charge(limits().control_frames, loop_.now_ns())) return true;
  Cut(LimitKind::kControlFrames);
  return false;
}

bool Connection::Charge(TokenBucket& own, const RateLimit& own_limit, TokenBucket& shared,
                        const RateLimit& shared_limit, LimitKind kind) {
  const int64_t now = loop_.now_ns();
  const bool own_ok = own.Charge(own_limit, now);
  const bool shared_ok = shared.Charge(shared_limit, now);
  if (own_ok && shared_ok) return true;
  Cut(kind);
  return false;
}

void Connection::CountExcessHeader() {
  if (!control_frames_.Charge(limits().control_frames, loop_.now_ns())) Cut(LimitKind::kControlFrames);
}

bool Connection::CountReset() {
  return Charge(resets_, limits().resets, source_->resets, loop_.edge().source.resets, LimitKind::kResets);
}

void Connection::OnFrameSent(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_DATA:
      answered_since_ping_ = true;
      if (ServerStream* stream = StreamOf(session_.get(), frame.hd.stream_id)) stream->OnDataSent();
      break;
    case NGHTTP2_HEADERS: {
      answered_since_ping_ = true;
      if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
      // The answer is complete and the client still sends: RFC 9113 §8.1 lets us stop it with NO_ERROR.
      ServerStream* stream = StreamOf(session_.get(), frame.hd.stream_id);
      if (stream == nullptr || stream->half_closed()) break;
      nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
      break;
    }
    case NGHTTP2_RST_STREAM:
      // Resets that a client provokes by breaking rules cost as much as those it sends.
      if (frame.rst_stream.error_code == NGHTTP2_REFUSED_STREAM) {
        source_->calls.Charge(loop_.edge().source.calls, loop_.now_ns());  // It began, beyond streams_max.
      }
      if (frame.rst_stream.error_code != NGHTTP2_NO_ERROR) CountReset();
      break;
    default: break;
  }
}

void Connection::AddStream(int32_t stream_id) {
  // Whatever becomes of it: a request that is refused costs as much as one that is served.
  const bool within_rate = source_->calls.Take(loop_.edge().source.calls, loop_.now_ns());
  auto stream = std::make_shared<ServerStream>(*this, stream_id, within_rate);
  if (nghttp2_session_set_stream_user_data(session_.get(), stream_id, stream.get()) != 0) return;
  stream->next = streams_;
  if (streams_ != nullptr) streams_->previous = stream.get();
  streams_ = stream.get();
  had_call_ = true;
  if (stream_count_++ == 0) WakeBy(NextDue());
  loop_.residents(room_).Touch(*this, /*busy=*/true);
  loop_.stats().streams_open.Add();
  stream->self = std::move(stream);
}

void Connection::RemoveStream(ServerStream& stream, uint32_t http2_error, const absl::Status& lost) {
  const std::shared_ptr<ServerStream> keep = std::move(stream.self);
  if (stream.previous != nullptr) stream.previous->next = stream.next;
  if (stream.next != nullptr) stream.next->previous = stream.previous;
  if (streams_ == &stream) streams_ = stream.next;
  loop_.stats().streams_open.Subtract();
  if (--stream_count_ == 0) {
    idle_since_ns_ = loop_.now_ns();
    loop_.residents(room_).Touch(*this, /*busy=*/false);
    if (!dead()) WakeBy(NextDue());
  }
  stream.OnClosed(http2_error, lost);
}

bool Connection::GatherOutput(std::string& out) {
  output_blocked_ = false;
  for (;;) {
    if (out_of_memory_) {  // A submit call may have met it: before us, or in a callback, which mem_send does not tell.
      Cut(LimitKind::kSessionBytes);
      return false;
    }
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &data);
    if (dead()) return false;
    if (size < 0) {
      SessionFailed(size);
      return false;
    }
    if (size == 0) {
      if (!out_of_memory_) return true;
      continue;
    }
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    if (out.size() > kBatchBytes) {
      output_blocked_ = true;
      return true;
    }
  }
}

}  // namespace meshca::rpc
