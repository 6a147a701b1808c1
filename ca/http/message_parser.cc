#include "ca/http/message_parser.h"

#include <algorithm>
#include <limits>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meshca::http {
namespace {

namespace beast_http = boost::beast::http;
using BeastError = boost::beast::error_code;
using BeastText = boost::beast::string_view;

absl::string_view View(BeastText text) { return absl::string_view(text.data(), text.size()); }

// The path of a request target; "" when it has none.
absl::string_view PathOf(absl::string_view target) {
  for (const absl::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(target, scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t slash = target.find('/');
    target = slash == absl::string_view::npos ? absl::string_view("/") : target.substr(slash);
  }
  if (!absl::StartsWith(target, "/")) return "";
  return target.substr(0, target.find_first_of("?#"));
}

bool IsVisible(absl::string_view text) { return std::all_of(text.begin(), text.end(), absl::ascii_isgraph); }

template <bool kRequest>
class BeastParser final : public MessageParser, private beast_http::basic_parser<kRequest> {
 public:
  explicit BeastParser(const MessageLimits& limits) : limits_(limits) {
    // Both are bounded here, where the bytes come in; Beast's own bounds are off.
    this->header_limit(std::numeric_limits<std::uint32_t>::max());
    this->body_limit(boost::none);
    if (!kRequest && limits.bodies == Bodies::kOfHead) this->skip(true);
  }

  bool Put(absl::string_view bytes, size_t& used) override {
    BeastError error;
    used = this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error == beast_http::error::need_more) return false;
    if (error && fault.kind == MessageFault::Kind::kNone) fault = Explain(error);
    return true;
  }
  void PutEnd() override {
    BeastError error;
    this->put_eof(error);
  }

  bool IsDone() const override { return this->is_done(); }
  bool IsChunked() const override { return this->chunked(); }
  bool RunsToTheEnd() const override { return this->need_eof(); }
  bool KeepsAlive() const override { return this->keep_alive(); }

 private:
  void on_request_impl(beast_http::verb, BeastText method, BeastText target, int, BeastError& error) override {
    request.method = std::string(View(method));
    request.target = std::string(View(target));
    request.path = std::string(PathOf(request.target));
    if (request.path.empty() || !IsVisible(request.target)) Refuse("its target is no path", error);
  }
  void on_response_impl(int code, BeastText, int, BeastError& error) override {
    status = code;
    if (code < 100) Refuse(kNoStatusLine, error);
  }
  void on_field_impl(beast_http::field, BeastText name, BeastText value, BeastError& error) override {
    if (this->is_header_done()) return;  // a trailer
    const absl::string_view text = View(value);
    if (absl::EqualsIgnoreCase(View(name), "content-length")) {
      has_length_ = true;
      // Beast takes "4, 4" for 4; two readers could take it for different lengths.
      if (!std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) Refuse(kBadLength, error);
    } else if (absl::EqualsIgnoreCase(View(name), "transfer-encoding")) {
      // Beast takes "gzip, chunked" too, and gives the compressed bytes.
      if (!absl::EqualsIgnoreCase(text, "chunked")) Refuse(kNotChunked, error);
      is_chunked_ = true;
    }
    request.headers.Add(View(name), text);
  }
  void on_header_impl(BeastError&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, BeastError& error) override {
    if (length.has_value()) Expect(*length, error);
  }
  std::size_t on_body_impl(BeastText piece, BeastError& error) override {
    // Only a body that goes on to the end of the connection has said nothing of its length.
    if (!has_length_) Expect(piece.size(), error);
    return error ? 0 : Keep(piece);
  }
  void on_chunk_header_impl(std::uint64_t size, BeastText, BeastError& error) override {
    Expect(size, error);
    chunk_left = size;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, BeastText piece, BeastError&) override {
    chunk_left -= piece.size();
    return Keep(piece);
  }
  void on_finish_impl(BeastError&) override {}

  static constexpr char kNoStatusLine[] = "it does not begin with a status line of HTTP/1.1";
  static constexpr char kBadLength[] = "its Content-Length is no number, or it has two";
  static constexpr char kNotChunked[] = "its Transfer-Encoding is not chunked";

  size_t Keep(BeastText piece) {
    body.append(piece.data(), piece.size());
    return piece.size();
  }
  void Refuse(const char* text, BeastError& error) {
    fault = {MessageFault::Kind::kMalformed, text};
    error = beast_http::error::bad_value;
  }
  // That many bytes of the body come.
  void Expect(uint64_t size, BeastError& error) {
    if (size > limits_.body_bytes - promised_) {
      fault = {MessageFault::Kind::kBodyTooLong,
               absl::StrCat("the answer is longer than ", limits_.body_bytes, " bytes")};
      error = beast_http::error::body_limit;
      return;
    }
    promised_ += size;
  }
  MessageFault Explain(BeastError error) const {
    using Kind = MessageFault::Kind;
    if (error == beast_http::error::bad_version) return {Kind::kVersion, kNoStatusLine};
    if (error == beast_http::error::bad_status || error == beast_http::error::bad_reason) {
      return {Kind::kMalformed, kNoStatusLine};
    }
    if (error == beast_http::error::bad_content_length || error == beast_http::error::multiple_content_length ||
        error == beast_http::error::bad_transfer_encoding) {
      const bool of_length = error != beast_http::error::bad_transfer_encoding;
      if (of_length ? is_chunked_ : has_length_) {
        return {Kind::kMalformed, "it has a Content-Length and is chunked"};
      }
      return {Kind::kMalformed, of_length ? kBadLength : kNotChunked};
    }
    if (error == beast_http::error::bad_chunk) return {Kind::kMalformed, "the size of a chunk is no number"};
    if (error == beast_http::error::bad_chunk_extension) {
      return {Kind::kMalformed, "the extension of a chunk is malformed"};
    }
    return {Kind::kMalformed, "a header line is malformed"};
  }

  const MessageLimits limits_;
  uint64_t promised_ = 0;  // bytes of the body that have come or were said to come
  bool has_length_ = false;
  bool is_chunked_ = false;
};

}  // namespace

std::unique_ptr<MessageParser> MessageParser::ForRequest(const MessageLimits& limits) {
  return std::make_unique<BeastParser<true>>(limits);
}

std::unique_ptr<MessageParser> MessageParser::ForResponse(const MessageLimits& limits) {
  return std::make_unique<BeastParser<false>>(limits);
}

}  // namespace meshca::http
