#include "ca/http/message_reader.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

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

struct Fault {
  enum class Kind { kNone, kMalformed, kVersion, kHeadTooLong, kBodyTooLong };
  Kind kind = Kind::kNone;
  std::string text;
};

struct Limits {
  size_t line_bytes;
  size_t head_bytes;
  size_t trailer_bytes;
  uint64_t body_bytes;
  Bodies bodies = Bodies::kAll;
};

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

// "0", "000", "0;name=value": the line of the last chunk.
bool IsLastChunk(absl::string_view line) {
  const size_t behind = line.find_first_not_of('0');
  return behind != 0 && !line.empty() && (behind == absl::string_view::npos || !absl::ascii_isxdigit(line[behind]));
}

bool IsVisible(absl::string_view text) { return std::all_of(text.begin(), text.end(), absl::ascii_isgraph); }

// Writes down what Beast finds in one message, and refuses what Beast lets pass.
template <bool kRequest>
class Parser final : public beast_http::basic_parser<kRequest> {
 public:
  explicit Parser(const Limits& limits) : limits_(limits) {
    // Both are bounded here, where the bytes come in; Beast's own bounds are off.
    this->header_limit(std::numeric_limits<std::uint32_t>::max());
    this->body_limit(boost::none);
    if (!kRequest && limits.bodies == Bodies::kOfHead) this->skip(true);
  }

  // Gives Beast `bytes` and how many of them it used. False: it needs more to go on. An error is in `fault`.
  bool Put(absl::string_view bytes, size_t& used) {
    BeastError error;
    used = this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error == beast_http::error::need_more) return false;
    if (error && fault.kind == Fault::Kind::kNone) fault = Explain(error);
    return true;
  }
  void PutEnd() {
    BeastError error;
    this->put_eof(error);
  }

  Fault fault;
  Request request;  // of a response: the headers alone
  int status = 0;
  std::string body;
  uint64_t chunk_left = 0;

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
    fault = {Fault::Kind::kMalformed, text};
    error = beast_http::error::bad_value;
  }
  // That many bytes of the body come.
  void Expect(uint64_t size, BeastError& error) {
    if (size > limits_.body_bytes - promised_) {
      fault = {Fault::Kind::kBodyTooLong, absl::StrCat("the answer is longer than ", limits_.body_bytes, " bytes")};
      error = beast_http::error::body_limit;
      return;
    }
    promised_ += size;
  }
  Fault Explain(BeastError error) const {
    using Kind = Fault::Kind;
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

  const Limits limits_;
  uint64_t promised_ = 0;  // bytes of the body that have come or were said to come
  bool has_length_ = false;
  bool is_chunked_ = false;
};

// One message: cuts what arrives into lines and bodies, so that Beast sees a head, a line of a chunk or all trailers at
// once. What Beast says of a message then depends on no piece, and no line waits in a buffer without a bound.
template <bool kRequest>
class Message {
 public:
  explicit Message(const Limits& limits) : limits_(limits) { parser_.emplace(limits); }

  // How many of `bytes` were used: a request's head ends a step, and so do the message's end and a fault.
  size_t Take(absl::string_view bytes) {
    const size_t before = bytes.size();
    if (kRequest && part_ != Part::kHead && !body_begun_) BeginBody();
    while (!bytes.empty() && !done() && !faulty()) {
      const bool in_head = part_ == Part::kHead;
      if (part_ == Part::kBody || part_ == Part::kBodyToTheEnd || part_ == Part::kChunk) {
        TakeBody(bytes);
      } else if (TakeLine(bytes)) {
        EndLine();
      }
      if (kRequest && in_head && part_ != Part::kHead) break;
    }
    return before - bytes.size();
  }
  void End() {
    if (part_ == Part::kBodyToTheEnd) {
      parser_->PutEnd();
      part_ = Part::kDone;
    } else if (!done()) {
      Refuse(Fault::Kind::kMalformed, "the connection ended in the middle of it");
    }
  }

  bool head_done() const { return part_ != Part::kHead; }
  bool done() const { return part_ == Part::kDone; }
  bool faulty() const { return fault().kind != Fault::Kind::kNone; }
  const Fault& fault() const { return parser_->fault; }
  Parser<kRequest>& parser() { return *parser_; }
  const Parser<kRequest>& parser() const { return *parser_; }
  bool keep_alive() const { return done() && parser_->is_done() && parser_->keep_alive(); }
  // The first line of a head that was refused ends in a version of HTTP, whichever it is.
  bool names_http() const {
    const absl::string_view line = absl::string_view(pending_).substr(0, pending_.find("\r\n"));
    return line.size() > 9 && absl::StartsWith(line.substr(line.size() - 9), " HTTP/");
  }

 private:
  enum class Part { kHead, kBody, kBodyToTheEnd, kChunkLine, kChunk, kTrailers, kDone };

  void Refuse(Fault::Kind kind, std::string text) { parser_->fault = {kind, std::move(text)}; }

  // How many bytes may still come to the line that is being read, and what is wrong when more do.
  size_t RoomInLine(Fault& fault) const {
    const size_t of_line = limits_.line_bytes - (pending_.size() - line_start_);
    fault = {Fault::Kind::kHeadTooLong, absl::StrCat("a line is longer than ", limits_.line_bytes, " bytes")};
    const bool in_head = part_ == Part::kHead;
    if (!in_head && part_ != Part::kTrailers) return of_line;
    const size_t max = in_head ? limits_.head_bytes : limits_.trailer_bytes;
    const size_t of_part = max - (part_bytes_ + pending_.size() - part_start_);
    if (of_line <= of_part) return of_line;
    fault.text = absl::StrCat(in_head ? "its head is" : "its trailers are", " longer than ", max, " bytes");
    return of_part;
  }

  // Moves what belongs to the line into pending_. True: the line is whole.
  bool TakeLine(absl::string_view& bytes) {
    if (!kRequest && part_ == Part::kHead && line_start_ == 0 && !MayBeStatusLine(bytes)) {
      Refuse(Fault::Kind::kMalformed, "it does not begin with a status line of HTTP/1.1");
      return false;
    }
    const size_t end = bytes.find('\n');
    const size_t size = end == absl::string_view::npos ? bytes.size() : end + 1;
    Fault too_long;
    const size_t room = RoomInLine(too_long);
    const absl::string_view piece = bytes.substr(0, std::min(size, room));
    if (kRequest && piece.find('\0') != absl::string_view::npos) {
      // A TLS handshake, for one: its client is told at once.
      Refuse(Fault::Kind::kMalformed, "it holds a NUL");
      return false;
    }
    if (size > room) {
      parser_->fault = std::move(too_long);
      return false;
    }
    pending_.append(piece.data(), piece.size());
    bytes.remove_prefix(piece.size());
    if (end == absl::string_view::npos) {
      if (kRequest && size == room) parser_->fault = std::move(too_long);
      return false;
    }
    if (!absl::EndsWith(pending_, "\r\n") || pending_.size() - line_start_ < 2) {
      Refuse(Fault::Kind::kMalformed, "a line does not end in CR LF");
      return false;
    }
    return true;
  }
  bool MayBeStatusLine(absl::string_view bytes) const {
    constexpr absl::string_view kBegin = "HTTP/1.";
    const std::string begin =
        absl::StrCat(absl::string_view(pending_).substr(0, kBegin.size()), bytes.substr(0, kBegin.size()))
            .substr(0, kBegin.size());
    return absl::StartsWith(kBegin, begin);
  }

  void EndLine() {
    const absl::string_view line = absl::string_view(pending_).substr(line_start_, pending_.size() - line_start_ - 2);
    const bool first = line_start_ == 0;
    const bool last = line.empty();
    if ((part_ == Part::kHead || part_ == Part::kTrailers) && !first && !last && (line[0] == ' ' || line[0] == '\t')) {
      // A line that goes on in the next one is obsolete (RFC 9112 §5.2): two readers could take it for different ones.
      return Refuse(Fault::Kind::kMalformed, "a header line is malformed");
    }
    switch (part_) {
      case Part::kHead:
        if (first && last) return Refuse(Fault::Kind::kMalformed, "it begins with an empty line");
        // "HTTP/1.1 200": many servers that give no reason leave out the space in front of it too.
        if (!kRequest && first && line.size() == 12) pending_.insert(line_start_ + 12, " ");
        if (last) return EndHead();
        break;
      case Part::kChunkLine: return EndChunkLine(line);
      case Part::kTrailers:
        if (last) {
          PutPending();
          part_ = Part::kDone;
        }
        break;
      default: break;
    }
    line_start_ = pending_.size();
  }

  void EndChunkLine(absl::string_view line) {
    if (chunk_ended_) {
      chunk_ended_ = false;
      if (!line.empty()) return Refuse(Fault::Kind::kMalformed, "a chunk is longer than it says");
      line_start_ = pending_.size();  // Beast wants to see the end of a chunk together with the next line
      return;
    }
    if (PutPending()) {
      pending_.clear();
      line_start_ = 0;
      part_ = Part::kChunk;
    } else if (IsLastChunk(line)) {
      part_ = Part::kTrailers;
      part_bytes_ = 0;
      part_start_ = line_start_ = pending_.size();
    } else {
      Refuse(Fault::Kind::kMalformed, "the extension of a chunk is malformed");
    }
  }

  // False: Beast needs more.
  bool PutPending() {
    size_t used = 0;
    return parser_->Put(pending_, used);
  }

  void EndHead() {
    part_bytes_ += pending_.size();
    PutPending();
    if (faulty()) return;
    pending_.clear();
    line_start_ = 0;
    if (!kRequest && parser_->status < 200) return PassOver();
    if (parser_->is_done() || (!kRequest && limits_.bodies == Bodies::kOf200 && parser_->status != 200)) {
      part_ = Part::kDone;
      return;
    }
    part_ = parser_->chunked() ? Part::kChunkLine : parser_->need_eof() ? Part::kBodyToTheEnd : Part::kBody;
    if (!kRequest) BeginBody();
  }
  // An interim response.
  void PassOver() {
    if (parser_->status == 101) {
      return Refuse(Fault::Kind::kMalformed, "it changes to another protocol, which nobody asked for");
    }
    if (++interim_ > ResponseReader::kInterimMax) {
      return Refuse(Fault::Kind::kMalformed,
                    absl::StrCat("more than ", ResponseReader::kInterimMax, " interim responses come first"));
    }
    parser_.emplace(limits_);
  }
  // Lets Beast say how long the body is, before any of it is here.
  void BeginBody() {
    body_begun_ = true;
    size_t used = 0;
    if (!done()) parser_->Put("", used);
  }
  void TakeBody(absl::string_view& bytes) {
    size_t used = 0;
    parser_->Put(bytes, used);
    bytes.remove_prefix(used);
    if (faulty()) return;
    if (part_ == Part::kBody && parser_->is_done()) part_ = Part::kDone;
    if (part_ == Part::kChunk && parser_->chunk_left == 0) {
      part_ = Part::kChunkLine;
      chunk_ended_ = true;
    }
  }

  const Limits limits_;
  std::optional<Parser<kRequest>> parser_;
  Part part_ = Part::kHead;
  std::string pending_;    // a head, a line of a chunk or the trailers, until they are whole
  size_t line_start_ = 0;  // of the line that is being read, in pending_
  size_t part_start_ = 0;  // of the trailers, in pending_
  size_t part_bytes_ = 0;  // of the heads in front of this one
  int interim_ = 0;
  bool body_begun_ = false;
  bool chunk_ended_ = false;
};

}  // namespace

class ResponseReader::Impl : public Message<false> {
 public:
  using Message::Message;
};

ResponseReader::ResponseReader(size_t bytes_max, Bodies bodies)
    : impl_(std::make_unique<Impl>(Limits{kLineBytesMax, kHeadBytesMax, kTrailerBytesMax, bytes_max, bodies})) {}
ResponseReader::~ResponseReader() = default;

absl::Status ResponseReader::Take(absl::string_view bytes) {
  if (bytes.size() > impl_->Take(bytes) && !impl_->faulty()) extra_ = true;
  return WhatIsWrong();
}

absl::Status ResponseReader::End() {
  impl_->End();
  return WhatIsWrong();
}

absl::Status ResponseReader::WhatIsWrong() const {
  const Fault& fault = impl_->fault();
  if (fault.kind == Fault::Kind::kNone) return absl::OkStatus();
  if (fault.kind == Fault::Kind::kBodyTooLong) return absl::InvalidArgumentError(fault.text);
  return absl::InvalidArgumentError(absl::StrCat("the answer is no HTTP: ", fault.text));
}

bool ResponseReader::head_done() const { return impl_->head_done(); }
bool ResponseReader::done() const { return impl_->done() && !impl_->faulty(); }
int ResponseReader::status() const { return impl_->parser().status; }
const Headers& ResponseReader::headers() const { return impl_->parser().request.headers; }
const std::string& ResponseReader::body() const { return impl_->parser().body; }
std::string ResponseReader::TakeBody() { return std::exchange(impl_->parser().body, std::string()); }
bool ResponseReader::keep_alive() const { return !extra_ && impl_->keep_alive(); }

class RequestReader::Impl : public Message<true> {
 public:
  using Message::Message;
};

// A request's lines are bounded by its head alone, and its trailers by as much again.
RequestReader::RequestReader(size_t head_bytes_max, size_t body_bytes_max)
    : impl_(std::make_unique<Impl>(Limits{head_bytes_max, head_bytes_max, head_bytes_max, body_bytes_max})) {}
RequestReader::~RequestReader() = default;

size_t RequestReader::Take(absl::string_view bytes) {
  const size_t used = impl_->Take(bytes);
  if (state() == State::kComplete) {
    Request& request = impl_->parser().request;
    if (request.body.empty()) request.body = std::exchange(impl_->parser().body, std::string());
  }
  return used;
}

RequestReader::State RequestReader::state() const {
  if (impl_->faulty()) return State::kRefused;
  if (impl_->done()) return State::kComplete;
  return impl_->head_done() ? State::kBody : State::kHead;
}

int RequestReader::refusal() const {
  switch (impl_->fault().kind) {
    case Fault::Kind::kNone: return 0;
    case Fault::Kind::kMalformed: return 400;
    case Fault::Kind::kVersion: return impl_->names_http() ? 505 : 400;
    case Fault::Kind::kHeadTooLong: return 431;
    case Fault::Kind::kBodyTooLong: return 413;
  }
  return 400;
}

Request& RequestReader::request() { return impl_->parser().request; }
bool RequestReader::keep_alive() const { return impl_->keep_alive(); }

}  // namespace meshca::http
