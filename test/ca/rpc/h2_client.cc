#include "test/ca/rpc/h2_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/rpc/payload.h"

namespace meshca::rpc {

std::string Reply::Find(absl::string_view name) const {
  for (const Headers* block : {&trailers, &headers}) {
    for (const auto& [key, value] : *block) {
      if (key == name) return value;
    }
  }
  return "";
}

int Reply::status() const {
  int code = -1;
  return absl::SimpleAtoi(Find("grpc-status"), &code) ? code : -1;
}

std::vector<std::string> Reply::messages() const {
  std::vector<std::string> found;
  absl::string_view rest = data;
  while (rest.size() >= kFramePrefixBytes) {
    size_t length = 0;
    for (int i = 1; i <= 4; ++i) length = length << 8 | static_cast<uint8_t>(rest[i]);
    if (rest.size() < kFramePrefixBytes + length) break;
    found.emplace_back(rest.substr(kFramePrefixBytes, length));
    rest.remove_prefix(kFramePrefixBytes + length);
  }
  return found;
}

UniqueFd ConnectTo(const std::string& address, int receive_buffer_bytes) {
  absl::string_view text = address;
  UniqueFd fd;
  if (absl::ConsumePrefix(&text, "unix:")) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    text.copy(name.sun_path, sizeof name.sun_path - 1);
    fd = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    MESHCA_CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  } else {
    int port = 0;
    MESHCA_CHECK(absl::SimpleAtoi(text.substr(text.rfind(':') + 1), &port));
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<uint16_t>(port));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer_bytes != 0) {
      const int set = ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
      MESHCA_CHECK(set == 0);
    }
    MESHCA_CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

struct H2Client::Callbacks {
  static H2Client& Of(void* user_data) { return *static_cast<H2Client*>(user_data); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_bytes,
                      const uint8_t* value, size_t value_bytes, uint8_t, void* user_data) {
    Reply& reply = Of(user_data).replies_[frame->hd.stream_id];
    Headers& block = frame->headers.cat == NGHTTP2_HCAT_RESPONSE ? reply.headers : reply.trailers;
    block.emplace_back(std::string(reinterpret_cast<const char*>(name), name_bytes),
                       std::string(reinterpret_cast<const char*>(value), value_bytes));
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user_data) {
    Of(user_data).replies_[id].data.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int OnClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user_data) {
    Reply& reply = Of(user_data).replies_[id];
    reply.closed = true;
    reply.goaways = Of(user_data).goaways_;
    reply.error_code = error_code;
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    H2Client& client = Of(user_data);
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      ++client.goaways_;
      client.goaway_error_ = frame->goaway.error_code;
      client.goaway_text_.assign(reinterpret_cast<const char*>(frame->goaway.opaque_data),
                                 frame->goaway.opaque_data_len);
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) ++client.pings_;
    return 0;
  }
  static ssize_t ReadData(nghttp2_session*, int32_t id, uint8_t* buffer, size_t size, uint32_t* flags,
                          nghttp2_data_source*, void* user_data) {
    Outgoing& out = Of(user_data).outgoing_[id];
    const size_t take = std::min(size, out.bytes.size());
    std::memcpy(buffer, out.bytes.data(), take);
    out.bytes.erase(0, take);
    if (out.bytes.empty() && out.end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (take == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(take);
  }
};

H2Client::H2Client(UniqueFd connected, SSL_CTX* tls, SSL_SESSION* session, bool manual_window)
    : fd_(std::move(connected)) {
  if (tls != nullptr && !Handshake(tls, session)) return;
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, manual_window ? 1 : 0);
  nghttp2_option_set_no_http_messaging(option, 1);  // Sends and takes what breaks rules, too.
  nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  connected_ = true;
}

H2Client::~H2Client() {
  // Freed without it, a TLS 1.2 session may not be offered again.
  if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  if (session_ != nullptr) nghttp2_session_del(session_);
}

bool H2Client::Handshake(SSL_CTX* tls, SSL_SESSION* session) {
  ssl_.reset(SSL_new(tls));
  SSL_set_fd(ssl_.get(), fd_.get());
  if (session != nullptr) SSL_set_session(ssl_.get(), session);
  const absl::Time end = absl::Now() + kPatience;
  while (absl::Now() < end) {
    ERR_clear_error();
    const int result = SSL_connect(ssl_.get());
    if (result == 1) return true;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      const unsigned long code = ERR_peek_error();
      error_ = code == 0 ? "the server closed the connection" : ERR_reason_error_string(code);
      ended_ = true;
      return false;
    }
    Wait(50);
  }
  error_ = absl::StrCat("no handshake within ", absl::FormatDuration(kPatience));
  return false;
}

int32_t H2Client::Open(absl::string_view path, const Headers& extra, bool end_stream) {
  Headers headers = {{":method", "POST"},
                     {":scheme", "http"},
                     {":path", std::string(path)},
                     {":authority", "test"},
                     {"content-type", "application/grpc"},
                     {"te", "trailers"}};
  for (const auto& [name, value] : extra) {
    auto known =
        std::find_if(headers.begin(), headers.end(), [&name = name](const auto& h) { return h.first == name; });
    if (known == headers.end()) {
      headers.emplace_back(name, value);
    } else {
      known->second = value;
    }
  }
  std::vector<nghttp2_nv> list;
  for (auto& [name, value] : headers) {
    if (value.empty() && name != "x-empty") continue;
    list.push_back({reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()), name.size(),
                    value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::ReadData;
  return nghttp2_submit_request(session_, nullptr, list.data(), list.size(), end_stream ? nullptr : &provider, nullptr);
}

void H2Client::SendRaw(int32_t stream, absl::string_view bytes, bool end_stream) {
  Outgoing& out = outgoing_[stream];
  out.bytes.append(bytes.data(), bytes.size());
  out.end = out.end || end_stream;
  nghttp2_session_resume_data(session_, stream);
}

void H2Client::SendMessage(int32_t stream, absl::string_view message, bool end_stream) {
  SendRaw(stream, *Frame(message), end_stream);
}

void H2Client::Reset(int32_t stream, uint32_t error_code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error_code);
}

int32_t H2Client::Start(absl::string_view path, absl::string_view message, const Headers& extra) {
  const int32_t stream = Open(path, extra);
  SendMessage(stream, message, true);
  return stream;
}

const Reply& H2Client::Call(absl::string_view path, absl::string_view message, const Headers& extra) {
  const int32_t stream = Start(path, message, extra);
  WaitClosed(stream);
  return replies_[stream];
}

bool H2Client::Write() {
  for (;;) {
    if (pending_.empty()) {
      const uint8_t* data = nullptr;
      ssize_t size = 0;
      while ((size = nghttp2_session_mem_send(session_, &data)) > 0) {
        pending_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
      }
      if (pending_.empty()) return size == 0;
    }
    const ssize_t sent = ssl_ ? SSL_write(ssl_.get(), pending_.data(), static_cast<int>(pending_.size()))
                              : ::send(fd_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL);
    if (sent <= 0)
      return ssl_ ? SSL_get_error(ssl_.get(), static_cast<int>(sent)) == SSL_ERROR_WANT_WRITE : errno == EAGAIN;
    pending_.erase(0, static_cast<size_t>(sent));
  }
}

bool H2Client::Read() {
  char buffer[16384];
  for (;;) {
    ERR_clear_error();
    const ssize_t size =
        ssl_ ? SSL_read(ssl_.get(), buffer, sizeof buffer) : ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (size <= 0) {
      const bool again =
          ssl_ ? SSL_get_error(ssl_.get(), static_cast<int>(size)) == SSL_ERROR_WANT_READ : size < 0 && errno == EAGAIN;
      if (!again && ssl_ && error_.empty()) {
        const unsigned long code = ERR_peek_error();
        error_ = code == 0 ? "the server closed the connection" : ERR_reason_error_string(code);
      }
      return again;
    }
    if (nghttp2_session_mem_recv(session_, reinterpret_cast<uint8_t*>(buffer), static_cast<size_t>(size)) < 0) {
      return false;
    }
  }
}

void H2Client::Wait(int milliseconds) {
  pollfd descriptor = {fd_.get(), static_cast<short>(POLLIN | (pending_.empty() ? 0 : POLLOUT)), 0};
  ::poll(&descriptor, 1, milliseconds);
}

bool H2Client::RunUntil(const std::function<bool()>& done, absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (!ended_ && absl::Now() < end) {
    // A server that hangs up may have said why: what it wrote is read before the failure to write to it counts.
    if (!Read()) {
      ended_ = true;
    } else if (!Write()) {
      Read();
      ended_ = true;
    }
    if (done()) return true;
    if (!ended_) Wait(5);
  }
  return done();
}

}  // namespace meshca::rpc
