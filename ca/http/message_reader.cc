#include "ca/http/message_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/http/message_parser.h"

namespace meshca::http {
namespace {

// "0", "000", "0;name=value": the line of the last chunk.
bool IsLastChunk(absl::string_view line) {
  const size_t behind = line.find_first_not_of('0');
  return behind != 0 && !line.empty() && (behind == absl::string_view::npos || !absl::ascii_isxdigit(line[behind]));
}

// One message: cuts what arrives into lines and bodies, so that Beast sees a head, a line of a chunk or all trailers at
// once. What Beast says of a message then depends on no piece, and no line waits in a buffer without a bound.
template <bool kRequest>
class Message {
 public:
  explicit Message(const MessageLimits& limits) : limits_(limits), parser_(NewParser()) {}

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
      Refuse(MessageFault::Kind::kMalformed, "the connection ended in the middle of it");
    }
  }

  bool head_done() const { return part_ != Part::kHead; }
  bool done() const { return part_ == Part::kDone; }
  bool faulty() const { return fault().kind != MessageFault::Kind::kNone; }
  const MessageFault& fault() const { return parser_->fault; }
  MessageParser& parser() { return *parser_; }
  const MessageParser& parser() const { return *parser_; }
  bool keep_alive() const { return done() && parser_->IsDone() && parser_->KeepsAlive(); }
  // The first line of a head that was refused ends in a version of HTTP, whichever it is.
  bool names_http() const {
    const absl::string_view line = absl::string_view(pending_).substr(0, pending_.find("\r\n"));
    return line.size() > 9 && absl::StartsWith(line.substr(line.size() - 9), " HTTP/");
  }

 private:
  enum class Part { kHead, kBody, kBodyToTheEnd, kChunkLine, kChunk, kTrailers, kDone };

  std::unique_ptr<MessageParser> NewParser() const {
    return kRequest ? MessageParser::ForRequest(limits_) : MessageParser::ForResponse(limits_);
  }
  void Refuse(MessageFault::Kind kind, std::string text) { parser_->fault = {kind, std::move(text)}; }

  // How many bytes may still come to the line that is being read, and what is wrong when more do.
  size_t RoomInLine(MessageFault& fault) const {
    const size_t of_line = limits_.line_bytes - (pending_.size() - line_start_);
    fault = {MessageFault::Kind::kHeadTooLong, absl::StrCat("a line is longer than ", limits_.line_bytes, " bytes")};
    const bool in_head = part_ == Part::kHead;
    if (!in_head && part_ != Part::kTrailers) return of_line;
    const size_t max = in_head ? limits_.head_bytes : limits_.trailer_bytes;
    // EndLine may have put in a blank that was never counted.
    const size_t used = part_bytes_ + pending_.size() - part_start_;
    const size_t of_part = used >= max ? 0 : max - used;
    if (of_line <= of_part) return of_line;
    fault.text = absl::StrCat(in_head ? "its head is" : "its trailers are", " longer than ", max, " bytes");
    return of_part;
  }

  // Moves what belongs to the line into pending_. True: the line is whole.
  bool TakeLine(absl::string_view& bytes) {
    if (!kRequest && part_ == Part::kHead && line_start_ == 0 && !MayBeStatusLine(bytes)) {
      Refuse(MessageFault::Kind::kMalformed, "it does not begin with a status line of HTTP/1.1");
      return false;
    }
    const size_t end = bytes.find('\n');
    const size_t size = end == absl::string_view::npos ? bytes.size() : end + 1;
    MessageFault too_long;
    const size_t room = RoomInLine(too_long);
    const absl::string_view piece = bytes.substr(0, std::min(size, room));
    if (kRequest && piece.find('\0') != absl::string_view::npos) {
      // A TLS handshake, for one: its client is told at once.
      Refuse(MessageFault::Kind::kMalformed, "it holds a NUL");
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
      Refuse(MessageFault::Kind::kMalformed, "a line does not end in CR LF");
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
      return Refuse(MessageFault::Kind::kMalformed, "a header line is malformed");
    }
    switch (part_) {
      case Part::kHead:
        if (first && last) return Refuse(MessageFault::Kind::kMalformed, "it begins with an empty line");
        // "HTTP/1.1 200": many servers that give no reason leave out the space in front of it too.
        if (!kRequest && first && line.size() == 12) pending_.insert(line_start_ + 12, " ");
        if (last) return EndHead();
        break;
      case Part::kChunkLine: return EndChunkLine(line);
      case Part::kTrailers:
        if (last && !PutPending()) return Refuse(MessageFault::Kind::kMalformed, "a trailer ends too early");
        if (last) part_ = Part::kDone;
        break;
      default: break;
    }
    line_start_ = pending_.size();
  }

  void EndChunkLine(absl::string_view line) {
    if (chunk_ended_) {
      chunk_ended_ = false;
      if (!line.empty()) return Refuse(MessageFault::Kind::kMalformed, "a chunk is longer than it says");
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
      Refuse(MessageFault::Kind::kMalformed, "the extension of a chunk is malformed");
    }
  }

  // False: Beast needs more.
  bool PutPending() {
    size_t used = 0;
    return parser_->Put(pending_, used);
  }

  void EndHead() {
    part_bytes_ += pending_.size();
    // Where a line is too short, Beast waits for more although the head is at its end.
    if (!PutPending()) return Refuse(MessageFault::Kind::kMalformed, "a line of its head ends too early");
    if (faulty()) return;
    pending_.clear();
    line_start_ = 0;
    if (!kRequest && parser_->status < 200) return PassOver();
    if (parser_->IsDone() || (!kRequest && limits_.bodies == Bodies::kOf200 && parser_->status != 200)) {
      part_ = Part::kDone;
      return;
    }
    part_ = parser_->IsChunked() ? Part::kChunkLine : parser_->RunsToTheEnd() ? Part::kBodyToTheEnd : Part::kBody;
    if (!kRequest) BeginBody();
  }
  // An interim response.
  void PassOver() {
    if (parser_->status == 101) {
      return Refuse(MessageFault::Kind::kMalformed, "it changes to another protocol, which nobody asked for");
    }
    if (++interim_ > ResponseReader::kInterimMax) {
      return Refuse(MessageFault::Kind::kMalformed,
                    absl::StrCat("more than ", ResponseReader::kInterimMax, " interim responses come first"));
    }
    parser_ = NewParser();
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
    // Cannot be; but a loop that makes no progress would hold up every connection of its thread.
    if (used == 0) return Refuse(MessageFault::Kind::kMalformed, "its body cannot be read");
    if (part_ == Part::kBody && parser_->IsDone()) part_ = Part::kDone;
    if (part_ == Part::kChunk && parser_->chunk_left == 0) {
      part_ = Part::kChunkLine;
      chunk_ended_ = true;
    }
  }

  const MessageLimits limits_;
  std::unique_ptr<MessageParser> parser_;
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
    : impl_(std::make_unique<Impl>(MessageLimits{kLineBytesMax, kHeadBytesMax, kTrailerBytesMax, bytes_max, bodies})) {}
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
  const MessageFault& fault = impl_->fault();
  if (fault.kind == MessageFault::Kind::kNone) return absl::OkStatus();
  if (fault.kind == MessageFault::Kind::kBodyTooLong) return absl::InvalidArgumentError(fault.text);
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
    : impl_(std::make_unique<Impl>(MessageLimits{head_bytes_max, head_bytes_max, head_bytes_max, body_bytes_max})) {}
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
    case MessageFault::Kind::kNone: return 0;
    case MessageFault::Kind::kMalformed: return 400;
    case MessageFault::Kind::kVersion: return impl_->names_http() ? 505 : 400;
    case MessageFault::Kind::kHeadTooLong: return 431;
    case MessageFault::Kind::kBodyTooLong: return 413;
  }
  return 400;
}

Request& RequestReader::request() { return impl_->parser().request; }
bool RequestReader::keep_alive() const { return impl_->keep_alive(); }

}  // namespace meshca::http
