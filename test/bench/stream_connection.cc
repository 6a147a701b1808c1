#include "test/bench/stream_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"

namespace meshca::bench {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kPrefixBytes = 5;  // gRPC: one byte of flags, four of length
// So large that a load sends no WINDOW_UPDATE while it measures.
constexpr int32_t kStreamWindow = 16 << 20;
constexpr int32_t kConnectionWindow = 1 << 30;

// Of the one thread: ten thousand connections share them.
thread_local std::array<char, kReadBytes> read_buffer;
thread_local std::string write_buffer;

constexpr uint32_t kEnded = ~uint32_t{0};  // in place of a stream's number

size_t MessageBytes(absl::string_view prefix) {
  size_t size = 0;
  for (int i = 1; i <= 4; ++i) size = size << 8 | static_cast<uint8_t>(prefix[i]);
  return size;
}

}  // namespace

std::string Framed(absl::string_view message) {
  std::string framed(1, '\0');
  framed.reserve(kPrefixBytes + message.size());
  for (int shift = 24; shift >= 0; shift -= 8) framed.push_back(static_cast<char>(message.size() >> shift));
  framed.append(message.data(), message.size());
  return framed;
}

nghttp2_nv Header(absl::string_view name, absl::string_view value) {
  const auto bytes = [](absl::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2's C interface; it only reads
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

struct StreamCallbacks {
  using Stream = StreamConnection::Stream;
  static Stream* Of(nghttp2_session* session, int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void*) {
    Stream* const stream = Of(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const absl::string_view key(reinterpret_cast<const char*>(name), name_size);
    const absl::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (key == "grpc-status" && !absl::SimpleAtoi(text, &stream->grpc_status)) stream->grpc_status = -1;
    if (key == "grpc-message") stream->grpc_message.assign(text.data(), text.size());
    return 0;
  }

  static int OnDataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    Stream* const stream = Of(session, id);
    if (stream == nullptr) return 0;
    auto& connection = *static_cast<StreamConnection*>(user);
    if (!connection.OnData(*stream, {reinterpret_cast<const char*>(data), size})) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!stream->out.empty()) nghttp2_session_resume_data(session, id);
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t id, uint32_t error, void* user) {
    Stream* const stream = Of(session, id);
    if (stream == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    absl::Status status;
    if (stream->grpc_status > 0) {
      status = absl::Status(static_cast<absl::StatusCode>(stream->grpc_status), stream->grpc_message);
    } else if (stream->grpc_status < 0) {
      status = absl::UnavailableError(absl::StrCat("a stream was reset: ", nghttp2_http2_strerror(error)));
    }
    static_cast<StreamConnection*>(user)->End(*stream, status);
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session*, int32_t, uint8_t* buffer, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void*) {
    const Stream& stream = *static_cast<Stream*>(source->ptr);
    std::string& out = static_cast<Stream*>(source->ptr)->out;
    if (out.empty() && !stream.only) return NGHTTP2_ERR_DEFERRED;
    const size_t size = std::min(length, out.size());
    std::memcpy(buffer, out.data(), size);
    out.erase(0, size);
    if (out.empty() && stream.only) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  static const nghttp2_session_callbacks* Get() {
    static const nghttp2_session_callbacks* const kCallbacks = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      MESHCA_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnDataChunk);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
      return callbacks;
    }();
    return kCallbacks;
  }
};

StreamConnection::StreamConnection(Dialled dialled, StreamEvents& events)
    : socket_(std::move(dialled.socket)), ssl_(std::move(dialled.ssl)), events_(events) {
  nghttp2_session* session = nullptr;
  MESHCA_CHECK(nghttp2_session_client_new(&session, StreamCallbacks::Get(), this) == 0);
  session_.reset(session);
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}}};
  MESHCA_CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0);
  MESHCA_CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0);
}

StreamConnection::~StreamConnection() = default;

void StreamConnection::Open(uint32_t number, std::span<const nghttp2_nv> headers, std::string first, bool only) {
  streams_.push_back(std::make_unique<Stream>());
  Stream& stream = *streams_.back();
  stream.number = number;
  stream.only = only;
  stream.out = std::move(first);
  nghttp2_data_provider provider = {};
  provider.source.ptr = &stream;
  provider.read_callback = &StreamCallbacks::ReadBody;
  stream.id = nghttp2_submit_request(session_.get(), nullptr, headers.data(), headers.size(), &provider, &stream);
  MESHCA_CHECK(stream.id > 0);
}

bool StreamConnection::Send(uint32_t number, absl::string_view framed) {
  // A connection has a stream for the whole of its life and at most a few calls: looking through them costs nothing.
  const auto found =
      std::find_if(streams_.begin(), streams_.end(), [number](const auto& stream) { return stream->number == number; });
  if (found == streams_.end() || number == kEnded) return false;
  (*found)->out.append(framed.data(), framed.size());
  nghttp2_session_resume_data(session_.get(), (*found)->id);
  return true;
}

ssize_t StreamConnection::Read(std::span<char> buffer) {
  if (ssl_ != nullptr) {
    const int size = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (size > 0) return size;
    return SSL_get_error(ssl_.get(), size) == SSL_ERROR_WANT_READ ? 0 : -1;
  }
  const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) return size;
  return size < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

ssize_t StreamConnection::Write(absl::string_view bytes) {
  if (ssl_ != nullptr) {
    const int size = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (size > 0) return size;
    return SSL_get_error(ssl_.get(), size) == SSL_ERROR_WANT_WRITE ? 0 : -1;
  }
  const ssize_t size = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (size >= 0) return size;
  return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

absl::Status StreamConnection::Lost(absl::string_view why) {
  absl::Status status = absl::UnavailableError(why);
  for (const auto& stream : streams_) End(*stream, status);
  streams_.clear();
  answered_.clear();
  return status;
}

void StreamConnection::End(Stream& stream, const absl::Status& status) {
  const uint32_t number = std::exchange(stream.number, kEnded);
  some_ended_ = true;
  if (number != kEnded) events_.OnEnd(number, status);
}

// Outside nghttp2's callbacks, which hold pointers to streams.
void StreamConnection::ForgetEnded() {
  if (!std::exchange(some_ended_, false)) return;
  std::erase_if(answered_, [](const Stream* stream) { return stream->number == kEnded; });
  std::erase_if(streams_, [](const auto& stream) { return stream->number == kEnded; });
}

absl::Status StreamConnection::OnReadable() {
  while (true) {
    const ssize_t size = Read(read_buffer);
    if (size < 0) return Lost("the server ended a connection");
    if (size == 0) break;
    const ssize_t used =
        nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const uint8_t*>(read_buffer.data()), size);
    if (used < 0) return Lost(absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(used))));
    // A short read emptied the socket; TLS hands over a record at a time and may hold more.
    if (ssl_ == nullptr ? static_cast<size_t>(size) < kReadBytes : SSL_has_pending(ssl_.get()) == 0) break;
  }
  return Flush();
}

bool StreamConnection::OnData(Stream& stream, absl::string_view data) {
  // Whole messages are handed over from where they were read.
  const bool direct = stream.in.empty();
  if (!direct) stream.in.append(data.data(), data.size());
  absl::string_view rest = direct ? data : absl::string_view(stream.in);
  while (rest.size() >= kPrefixBytes) {
    if (rest[0] != 0) return false;  // compressed: nobody asked for that
    const size_t size = MessageBytes(rest);
    if (rest.size() - kPrefixBytes < size) break;
    Deliver(stream, rest.substr(kPrefixBytes, size));
    rest.remove_prefix(kPrefixBytes + size);
  }
  if (direct) {
    stream.in.assign(rest.data(), rest.size());
  } else {
    stream.in.erase(0, stream.in.size() - rest.size());
  }
  return true;
}

void StreamConnection::Deliver(Stream& stream, absl::string_view message) {
  if (stream.number == kEnded) return;
  events_.OnMessage(stream.number, message, stream.out);
  if (stream.out.empty() || std::exchange(stream.answered, true)) return;
  answered_.push_back(&stream);
}

absl::Status StreamConnection::Flush() {
  while (!unsent_.empty()) {
    const ssize_t size = Write(unsent_);
    if (size < 0) return Lost("the server ended a connection");
    if (size == 0) return absl::OkStatus();
    unsent_.erase(0, size);
  }
  write_buffer.clear();
  while (true) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &data);
    if (size < 0) return Lost(absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(size))));
    if (size == 0) break;
    write_buffer.append(reinterpret_cast<const char*>(data), size);
  }
  absl::string_view rest = write_buffer;
  while (!rest.empty()) {
    const ssize_t size = Write(rest);
    if (size < 0) return Lost("the server ended a connection");
    if (size == 0) {
      unsent_.assign(rest.data(), rest.size());
      return absl::OkStatus();
    }
    rest.remove_prefix(size);
  }
  for (Stream* stream : answered_) {
    if (!stream->out.empty()) continue;  // its window is full: it stays in the list
    stream->answered = false;
    if (stream->number != kEnded) events_.OnAnswered(stream->number);
  }
  std::erase_if(answered_, [](const Stream* stream) { return !stream->answered; });
  ForgetEnded();
  return absl::OkStatus();
}

}  // namespace meshca::bench
