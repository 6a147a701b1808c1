// Is an HTTP/2 request well-formed? RFC 9113 §8.1 to §8.3, with one exception that gRPC needs.
#ifndef MESHCA_CA_RPC_REQUEST_CHECK_H_
#define MESHCA_CA_RPC_REQUEST_CHECK_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace meshca::rpc {

// Follows one request from its first header to its end. nghttp2 has the same checks and one too many: it judges
// :authority by the grammar of host names and refuses a request without one, while gRPC clients on a Unix socket send
// the socket's path, "unix:...", a percent-encoded path, nothing, or no such field. Nothing here routes by it, so any
// value without control bytes is taken and forgotten; nghttp2's own checks are switched off (http2_callbacks.cc).
//
// A malformed request is a stream error of type PROTOCOL_ERROR (RFC 9113 §8.1.1). A value; one thread.
class RequestCheck {
 public:
  enum class Verdict {
    kTake,
    kIgnore,     // a field that means nothing to anybody: as if it had not been sent
    kMalformed,  // reset the stream
  };

  // One field of the header block, in order.
  //   name       §8.2: lower-case, no control byte, space or colon within; pseudo-headers are the four of a request,
  //   come
  //              first (§8.3) and once (§8.3.1). Ignored: another byte that is none of a token's (RFC 9110 §5.1)
  //   value      §8.2.1: no NUL, CR or LF. Ignored: another control byte, white space at either end
  //   §8.2.2     no connection, keep-alive, proxy-connection, transfer-encoding, upgrade; te is "trailers" at most
  //   §8.3.1     :method a token; :scheme a scheme; :path not empty, no space or control byte
  //   §8.1.1     content-length a number, once; host once
  Verdict OnHeader(absl::string_view name, absl::string_view value);
  // The header block ended, with END_STREAM where `ends`. False, malformed: a pseudo-header is missing, or one that the
  // method forbids is there (§8.3.1, §8.5 for CONNECT); a path of http or https without its slash; a content-length
  // above zero and nothing follows.
  bool OnHeadersEnd(bool ends);

  // Trailers (§8.1): the same rules, and no pseudo-header and no content-length. Without END_STREAM they are malformed.
  Verdict OnTrailer(absl::string_view name, absl::string_view value);
  bool OnTrailersEnd(bool ends);

  // Bytes of DATA, padding left out. False: more than content-length said.
  bool OnData(size_t bytes);
  // END_STREAM on a DATA frame. False: fewer.
  bool OnEnd() const;

 private:
  enum Field : uint16_t {
    kMethod = 1,
    kScheme = 2,
    kPath = 4,
    kAuthority = 8,
    kHost = 16,
    kContentLength = 32,
    kRegular = 64,         // one that is no pseudo-header: none of those may follow
    kConnect = 128,        // the method
    kOptions = 256,        // the method
    kHttp = 512,           // the scheme: http or https
    kAsteriskPath = 1024,  // "*"
    kSlashPath = 2048,
  };
  bool Has(Field field) const { return (seen_ & field) != 0; }
  // Notes `field`; false where it was there already.
  bool Once(Field field);
  bool Pseudo(absl::string_view name, absl::string_view value);
  Verdict Regular(absl::string_view name, absl::string_view value);
  bool ContentLength(absl::string_view value);

  uint16_t seen_ = 0;
  int64_t left_ = -1;  // of content-length; -1: none was given
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_REQUEST_CHECK_H_
