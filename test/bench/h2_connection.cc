#include "test/bench/h2_connection.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"

namespace meshca::bench {
namespace {

constexpr size_t kReadSize = 32 * 1024;
constexpr uint32_t kStreamWindow = 1 << 20;

absl::Status Broken(absl::string_view message, absl::string_view reason) {
  return WithReason(absl::UnavailableError(message), reason);
}

absl::Status Lost() { return Broken("the server ended a connection", "CONNECTION_LOST"); }

absl::Status Http2Error(ssize_t code) {
  return Broken(absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(code))), "HTTP2_ERROR");
}

}  // namespace

struct H2Callbacks {
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user) {
    auto& streams = static_cast<H2Connection*>(user)->streams_;
    const auto stream = streams.find(frame->hd.stream_id);
    if (stream == streams.end()) return 0;
    const absl::string_view key(reinterpret_cast<const char*>(name), name_size);
    const absl::string_view text(reinterpret_cast<const char*>(value), value_size);
    CallResult& result = stream->second.result;
    if (key == ":status" && !absl::SimpleAtoi(text, &result.http_status)) result.http_status = 0;
    if (key == "grpc-status" && !absl::SimpleAtoi(text, &result.grpc_status)) result.grpc_status = -1;
    if (key == "grpc-message") result.grpc_message.assign(text.data(), text.size());
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    auto& streams = static_cast<H2Connection*>(user)->streams_;
    const auto stream = streams.find(id);
    if (stream != streams.end()) stream->second.result.body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t id, uint32_t error, void* user) {
    auto& self = *static_cast<H2Connection*>(user);
    auto node = self.streams_.extract(id);
    if (node.empty()) return 0;
    node.mapped().result.h2_error = error;
    self.events_.OnResult(std::move(node.mapped().result));
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session*, int32_t id, uint8_t* buffer, size_t length, uint32_t* flags,
                          nghttp2_data_source*, void* user) {
    auto& streams = static_cast<H2Connection*>(user)->streams_;
    const auto stream = streams.find(id);
    if (stream == streams.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // cancelled: nghttp2 resets it
    absl::string_view& unsent = stream->second.unsent_body;
    const size_t size = std::min(length, unsent.size());
    std::memcpy(buffer, unsent.data(), size);
    unsent.remove_prefix(size);
    if (unsent.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  // One set for all connections, for as long as the process lasts.
  static const nghttp2_session_callbacks* Get() {
    static const nghttp2_session_callbacks* const kCallbacks = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      MESHCA_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnClose);
      return callbacks;
    }();
    return kCallbacks;
  }
};

H2Connection::H2Connection(TlsSocket socket, H2Events& events) : socket_(std::move(socket)), events_(events) {
  nghttp2_session* session = nullptr;
  MESHCA_CHECK(nghttp2_session_client_new(&session, H2Callbacks::Get(), this) == 0);
  session_.reset(session);
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}}};
  MESHCA_CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0);
}

H2Connection::~H2Connection() {
  // An orderly end, as a client's: close_notify. Whatever OpenSSL says of it is of no interest any more.
  if (open()) SSL_shutdown(socket_.ssl.get());
  ERR_clear_error();
}

void H2Connection::Call(size_t id, std::span<const nghttp2_nv> headers, absl::string_view body) {
  nghttp2_data_provider provider = {};
  provider.read_callback = &H2Callbacks::ReadBody;
  const int32_t stream =
      nghttp2_submit_request(session_.get(), nullptr, headers.data(), headers.size(), &provider, nullptr);
  MESHCA_CHECK(stream > 0);
  Stream& state = streams_[stream];
  state.result.id = id;
  state.unsent_body = body;
}

void H2Connection::Cancel(size_t id) {
  const auto stream =
      std::find_if(streams_.begin(), streams_.end(), [&](const auto& one) { return one.second.result.id == id; });
  if (stream == streams_.end()) return;
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream->first, NGHTTP2_CANCEL);
  streams_.erase(stream);
}

std::vector<size_t> H2Connection::Outstanding() const {
  std::vector<size_t> ids;
  ids.reserve(streams_.size());
  for (const auto& [number, stream] : streams_) ids.push_back(stream.result.id);
  return ids;
}

absl::Status H2Connection::OnReady() {
  if (state_ == State::kConnecting) MESHCA_RETURN_IF_ERROR(FinishConnect());
  if (state_ == State::kShaking) MESHCA_RETURN_IF_ERROR(ShakeHands());
  if (state_ != State::kOpen) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(Read());
  return Flush();
}

absl::Status H2Connection::FinishConnect() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == ECONNREFUSED) return Broken(std::strerror(error), "CONNECTION_REFUSED");
  if (error != 0) return Broken(std::strerror(error), "CONNECT_FAILED");
  state_ = State::kShaking;
  return absl::OkStatus();
}

absl::Status H2Connection::ShakeHands() {
  SSL* const ssl = socket_.ssl.get();
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl);
  if (done != 1) {
    const int error = SSL_get_error(ssl, done);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
    const long verdict = SSL_get_verify_result(ssl);  // NOLINT(google-runtime-int): OpenSSL's type
    if (verdict != X509_V_OK) {
      return Broken(absl::StrCat("the server's certificate: ", X509_verify_cert_error_string(verdict),
                                 ": give the CA's root with --root and the name it serves under with --server-name"),
                    "TLS_HANDSHAKE_FAILED");
    }
    const absl::Status why = error == SSL_ERROR_SSL
                                 ? OpenSslError("TLS handshake")
                                 : absl::UnavailableError("TLS handshake: the server ended the connection");
    return Broken(why.message(), "TLS_HANDSHAKE_FAILED");
  }
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &size);
  if (absl::string_view(reinterpret_cast<const char*>(protocol), size) != "h2") {
    return Broken("the server does not speak HTTP/2 there: is this the gRPC port?", "TLS_HANDSHAKE_FAILED");
  }
  state_ = State::kOpen;
  return absl::OkStatus();
}

absl::Status H2Connection::Read() {
  static thread_local std::array<uint8_t, kReadSize> buffer;
  while (true) {
    ERR_clear_error();
    const int size = SSL_read(socket_.ssl.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (size <= 0) {
      const int error = SSL_get_error(socket_.ssl.get(), size);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
      if (error != SSL_ERROR_SSL) return Lost();
      // With TLS 1.3 this is where a server says that it does not take the client's certificate.
      return Broken(OpenSslError("the server ended a connection").message(), "CONNECTION_LOST");
    }
    const ssize_t used = nghttp2_session_mem_recv(session_.get(), buffer.data(), size);
    if (used < 0) return Http2Error(used);
  }
}

absl::Status H2Connection::Flush() {
  if (state_ != State::kOpen) return absl::OkStatus();
  while (true) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &data);
    if (size < 0) return Http2Error(size);
    if (size == 0) break;
    unsent_.append(reinterpret_cast<const char*>(data), size);
  }
  while (!unsent_.empty()) {
    ERR_clear_error();
    const int size = SSL_write(socket_.ssl.get(), unsent_.data(), static_cast<int>(unsent_.size()));
    if (size <= 0) {
      const int error = SSL_get_error(socket_.ssl.get(), size);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
      return Lost();
    }
    unsent_.erase(0, size);
  }
  return absl::OkStatus();
}

}  // namespace meshca::bench
