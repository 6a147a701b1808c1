#include "test/bench/h2_connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"

namespace meshca::bench {
namespace {

constexpr size_t kReadSize = 32 * 1024;

}  // namespace

nghttp2_session_callbacks* H2Connection::Callbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  MESHCA_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
        auto* self = static_cast<H2Connection*>(user);
        const auto stream = self->streams_.find(frame->hd.stream_id);
        if (stream == self->streams_.end()) return 0;
        const absl::string_view key(reinterpret_cast<const char*>(name), name_size);
        const absl::string_view text(reinterpret_cast<const char*>(value), value_size);
        CallResult& result = stream->second.result;
        if (key == "grpc-status" && !absl::SimpleAtoi(text, &result.grpc_status)) result.grpc_status = -1;
        if (key == "grpc-message") result.grpc_message.assign(text.data(), text.size());
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
        auto* self = static_cast<H2Connection*>(user);
        const auto stream = self->streams_.find(id);
        if (stream != self->streams_.end()) {
          stream->second.result.body.append(reinterpret_cast<const char*>(data), size);
        }
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                         [](nghttp2_session*, int32_t id, uint32_t, void* user) {
                                                           auto* self = static_cast<H2Connection*>(user);
                                                           const auto node = self->streams_.extract(id);
                                                           if (node.empty()) return 0;
                                                           CallResult result = std::move(node.mapped().result);
                                                           result.latency = absl::Now() - node.mapped().start;
                                                           self->on_result_(std::move(result));
                                                           return 0;
                                                         });
  return callbacks;
}

H2Connection::H2Connection(UniqueFd socket, OpenSslPtr<SSL, SSL_free> ssl, OnResult on_result)
    : socket_(std::move(socket)), ssl_(std::move(ssl)), on_result_(std::move(on_result)) {
  nghttp2_session_callbacks* callbacks = Callbacks();
  MESHCA_CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0);
  nghttp2_session_callbacks_del(callbacks);
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}}};
  MESHCA_CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0);
}

H2Connection::~H2Connection() { nghttp2_session_del(session_); }

ssize_t H2Connection::ReadBody(nghttp2_session*, int32_t id, uint8_t* buffer, size_t length, uint32_t* flags,
                               nghttp2_data_source*, void* user) {
  auto& unsent = static_cast<H2Connection*>(user)->streams_.at(id).unsent_body;
  const size_t size = std::min(length, unsent.size());
  std::memcpy(buffer, unsent.data(), size);
  unsent.remove_prefix(size);
  if (unsent.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(size);
}

void H2Connection::Call(size_t id, std::span<const nghttp2_nv> headers, absl::string_view body) {
  nghttp2_data_provider provider = {};
  provider.read_callback = &ReadBody;
  const int32_t stream = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &provider, nullptr);
  MESHCA_CHECK(stream > 0);
  Stream& state = streams_[stream];
  state.result.id = id;
  state.unsent_body = body;
  state.start = absl::Now();
}

absl::Status H2Connection::OnReadable() {
  std::array<uint8_t, kReadSize> buffer;
  while (true) {
    const int size = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (size <= 0) {
      const int error = SSL_get_error(ssl_.get(), size);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
      return absl::UnavailableError("the server ended a connection");
    }
    const ssize_t used = nghttp2_session_mem_recv(session_, buffer.data(), size);
    if (used < 0) return absl::UnavailableError(absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(used))));
  }
}

absl::Status H2Connection::Flush() {
  while (true) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) return absl::UnavailableError(absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(size))));
    if (size == 0) break;
    unsent_.append(reinterpret_cast<const char*>(data), size);
  }
  while (!unsent_.empty()) {
    const int size = SSL_write(ssl_.get(), unsent_.data(), static_cast<int>(unsent_.size()));
    if (size <= 0) {
      const int error = SSL_get_error(ssl_.get(), size);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
      return absl::UnavailableError("the server ended a connection");
    }
    unsent_.erase(0, size);
  }
  return absl::OkStatus();
}

}  // namespace meshca::bench
