// Read one HTTP/1 message (RFC 9112), piece by piece, whatever the pieces are: a response for our client, a request for
// our server. Boost.Beast parses; what these readers add is a bound on everything, and a refusal of what Beast
// forgives.
#ifndef MESHCA_CA_HTTP_MESSAGE_READER_H_
#define MESHCA_CA_HTTP_MESSAGE_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/http/http_message.h"

namespace meshca::http {

// Whose bodies are read.
enum class Bodies {
  kAll,
  kOf200,   // an answer of another status is over with its head: its body is of no use
  kOfHead,  // none: the answer to HEAD
};

// Interim responses in front of the answer (100, 103 Early Hints) are passed over, and so are trailers behind a chunked
// body. Bounded whatever a server sends: the body by `bytes_max`, interim responses by their number, all heads
// together, one line and all trailers together by their bytes. Where a piece ends changes nothing. Not thread-safe.
class ResponseReader {
 public:
  static constexpr int kInterimMax = 8;
  static constexpr size_t kLineBytesMax = 8 * 1024;
  static constexpr size_t kHeadBytesMax = 64 * 1024;     // interim heads included
  static constexpr size_t kTrailerBytesMax = 16 * 1024;  // more than a head of one response needs

  explicit ResponseReader(size_t bytes_max, Bodies bodies = Bodies::kOf200);
  ~ResponseReader();

  // Takes what arrived next. InvalidArgument: it is no HTTP/1.x, or passes a limit; says which. What comes behind the
  // end of the response is left alone, and keeps the connection from being used again.
  absl::Status Take(absl::string_view bytes);
  // The connection ended in order. InvalidArgument: in the middle of the response.
  absl::Status End();

  bool head_done() const;  // status() and headers() are those of the response itself
  bool done() const;
  int status() const;
  const Headers& headers() const;
  const std::string& body() const;
  // What has come of the body since the last call. `bytes_max` bounds the whole all the same.
  std::string TakeBody();
  // The response is done, and another may follow on its connection.
  bool keep_alive() const;

 private:
  class Impl;
  absl::Status WhatIsWrong() const;

  const std::unique_ptr<Impl> impl_;
  bool extra_ = false;  // bytes came behind the end
};

// Nothing of a request is believed before its head is whole, but one that is wrong already is refused at once. Not
// thread-safe.
class RequestReader {
 public:
  enum class State {
    kHead,      // give it more
    kBody,      // the head is done; give it more, or none of the body
    kComplete,  // all of it is here
    kRefused,   // answer refusal() and close
  };

  RequestReader(size_t head_bytes_max, size_t body_bytes_max);
  ~RequestReader();

  // Takes what arrived next and gives how much of it it used: it stops behind the head, so that a body can be refused
  // unread, and behind the request, because the next one may follow. A body that is known to be longer than
  // `body_bytes_max` is refused by the first call behind the head, one without bytes too.
  size_t Take(absl::string_view bytes);

  State state() const;
  // 400, 413 (body), 431 (head) or 505 (no HTTP/1).
  int refusal() const;
  // Whole as far as state() says. `peer` is empty.
  Request& request();
  // The client would send another request on this connection.
  bool keep_alive() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_MESSAGE_READER_H_
