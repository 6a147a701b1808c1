// What stands in one HTTP/1 message: Boost.Beast's parser, behind a header that does not show it.
#ifndef MESHCA_CA_HTTP_MESSAGE_PARSER_H_
#define MESHCA_CA_HTTP_MESSAGE_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/http/http_message.h"
#include "ca/http/message_reader.h"

namespace meshca::http {

struct MessageFault {
  enum class Kind { kNone, kMalformed, kVersion, kHeadTooLong, kBodyTooLong };
  Kind kind = Kind::kNone;
  std::string text;
};

struct MessageLimits {
  size_t line_bytes;
  size_t head_bytes;
  size_t trailer_bytes;
  uint64_t body_bytes;
  Bodies bodies = Bodies::kAll;
};

// Writes down what Beast finds in one message, and refuses what Beast lets pass. Bounds the body; heads, lines and
// trailers are given whole, and bounded before. Not thread-safe.
class MessageParser {
 public:
  static std::unique_ptr<MessageParser> ForRequest(const MessageLimits& limits);
  static std::unique_ptr<MessageParser> ForResponse(const MessageLimits& limits);
  virtual ~MessageParser() = default;

  // Takes `bytes`, and says how many of them were used. False: more is needed to go on. An error is in `fault`.
  virtual bool Put(absl::string_view bytes, size_t& used) = 0;
  // The connection has ended.
  virtual void PutEnd() = 0;

  virtual bool IsDone() const = 0;
  // Once the head is done: how the body's end shows, and whether another message may follow on the connection.
  virtual bool IsChunked() const = 0;
  virtual bool RunsToTheEnd() const = 0;
  virtual bool KeepsAlive() const = 0;

  MessageFault fault;
  Request request;  // of a response: the headers alone
  int status = 0;
  std::string body;         // what has come of it
  uint64_t chunk_left = 0;  // of the chunk that is read
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_MESSAGE_PARSER_H_
