// JSON read piece by piece, as it comes (RFC 8259): a list of 100,000 pods of a cluster never stands in memory.
#ifndef MESHCA_CA_JSON_JSON_STREAM_H_
#define MESHCA_CA_JSON_JSON_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

// What is told of a value and all that is inside it, in the order of the text. Texts are good during the call alone.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;

  virtual void OnObjectBegin() = 0;
  virtual void OnObjectEnd() = 0;
  virtual void OnArrayBegin() = 0;
  virtual void OnArrayEnd() = 0;
  virtual void OnKey(absl::string_view name) = 0;
  // A string: its UTF-8, escapes resolved.
  virtual void OnText(absl::string_view text) = 0;
  // A whole number of 64 bits in decimal digits; another one so that it reads back to the same.
  virtual void OnNumber(absl::string_view text) = 0;
  // A whole number of 64 bits, for whoever needs no text of it.
  virtual void OnInteger(int64_t value);
  virtual void OnBool(bool value) = 0;
  virtual void OnNull() = 0;
};

// Reads one value after another (a watch's answer is a row of objects). Holds no more than the nesting and one key or
// text of at most kTextBytesMax; of what is longer only that beginning is held and told. A name that stands twice in an
// object is told twice. One thread at a time.
class JsonStream {
 public:
  // Managed fields and annotations may be 256 KiB. Whoever judges a text, such as an expression of a policy, takes one
  // of so many bytes for cut.
  static constexpr size_t kTextBytesMax = 512 * 1024;
  static constexpr size_t kDepthMax = 64;

  // `events` outlives the stream.
  explicit JsonStream(JsonEvents& events);
  ~JsonStream();

  // The next bytes; they may begin and end anywhere. InvalidArgument says at which byte it is no JSON,
  // or is nested deeper than kDepthMax; whatever comes after that is refused too.
  absl::Status Take(absl::string_view piece);
  // Nothing more comes: ends a number, which could have gone on. InvalidArgument: in the middle of a value.
  absl::Status End();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca

#endif  // MESHCA_CA_JSON_JSON_STREAM_H_
