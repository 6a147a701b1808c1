// Reads one HTTP/1.1 response (RFC 9112), piece by piece, as a client that closes the connection afterwards.
#ifndef MESHCA_CA_AUTHN_HTTP_RESPONSE_H_
#define MESHCA_CA_AUTHN_HTTP_RESPONSE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Interim responses in front of the answer (100, 103 Early Hints) are passed over, and so are trailers behind a chunked
// body: what is in them is not looked at. Bounded whatever a server sends: the body by `bytes_max`, interim responses
// by their number, all heads together, one line and all trailers together by their bytes. A value; not thread-safe.
class HttpResponse {
 public:
  static constexpr int kInterimMax = 8;
  static constexpr size_t kLineBytesMax = 8 * 1024;
  static constexpr size_t kHeadBytesMax = 64 * 1024;     // interim heads included
  static constexpr size_t kTrailerBytesMax = 16 * 1024;  // more than a head of one response needs

  explicit HttpResponse(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Takes what arrived next. InvalidArgument: it is no HTTP/1.x, or passes a limit; says which. Nothing is read beyond
  // the end of the response, nor beyond the head of one that is not 200: its body is of no use.
  absl::Status Take(absl::string_view bytes);
  // The connection ended in order. InvalidArgument: in the middle of the response.
  absl::Status End();

  bool done() const { return part_ == Part::kDone; }
  int status() const { return status_; }  // of the response itself, once its first line is read
  const std::string& body() const { return body_; }

 private:
  enum class Part { kStatusLine, kHeader, kBody, kBodyToTheEnd, kChunkSize, kChunk, kChunkEnd, kTrailer, kDone };

  absl::Status TakeLine(absl::string_view line);
  absl::Status TakeStatusLine(absl::string_view line);
  absl::Status TakeHeader(absl::string_view line);
  absl::Status TakeChunkSize(absl::string_view line);
  absl::Status EndOfHead();
  absl::Status Expect(uint64_t size);  // that many bytes of body, or of a chunk

  const size_t bytes_max_;
  Part part_ = Part::kStatusLine;
  std::string line_;  // the beginning of a line whose end has not arrived
  int interim_ = 0;
  size_t head_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  int status_ = 0;
  std::optional<uint64_t> length_;
  bool chunked_ = false;
  uint64_t left_ = 0;  // of the body or chunk that is being read
  std::string body_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_HTTP_RESPONSE_H_
