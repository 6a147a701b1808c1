#include "ca/authn/http_response.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the answer is no HTTP: ", what));
}

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

}  // namespace

absl::Status HttpResponse::Take(absl::string_view bytes) {
  while (!bytes.empty() && !done()) {
    if (part_ == Part::kBody || part_ == Part::kChunk || part_ == Part::kBodyToTheEnd) {
      const size_t size = part_ == Part::kBodyToTheEnd ? bytes.size() : std::min<uint64_t>(left_, bytes.size());
      if (part_ == Part::kBodyToTheEnd) MESHCA_RETURN_IF_ERROR(Expect(size));
      body_.append(bytes.data(), size);
      bytes.remove_prefix(size);
      left_ -= size;
      if (part_ == Part::kBody && left_ == 0) part_ = Part::kDone;
      if (part_ == Part::kChunk && left_ == 0) part_ = Part::kChunkEnd;
      continue;
    }
    const size_t end = bytes.find('\n');
    line_.append(bytes.data(), std::min(end, bytes.size()));
    if (line_.size() > kLineBytesMax) return Wrong(absl::StrCat("a line is longer than ", kLineBytesMax, " bytes"));
    if (end == absl::string_view::npos) return absl::OkStatus();
    bytes.remove_prefix(end + 1);
    const std::string line(absl::StripSuffix(line_, "\r"));
    line_.clear();
    MESHCA_RETURN_IF_ERROR(TakeLine(line));
  }
  return absl::OkStatus();
}

absl::Status HttpResponse::End() {
  if (part_ == Part::kBodyToTheEnd) part_ = Part::kDone;
  return done() ? absl::OkStatus() : Wrong("the connection ended in the middle of it");
}

absl::Status HttpResponse::TakeLine(absl::string_view line) {
  if (part_ == Part::kStatusLine || part_ == Part::kHeader) {
    head_bytes_ += line.size() + 2;
    if (head_bytes_ > kHeadBytesMax) return Wrong(absl::StrCat("its head is longer than ", kHeadBytesMax, " bytes"));
  }
  switch (part_) {
    case Part::kStatusLine: return TakeStatusLine(line);
    case Part::kHeader: return line.empty() ? EndOfHead() : TakeHeader(line);
    case Part::kChunkSize: return TakeChunkSize(line);
    case Part::kChunkEnd:
      part_ = Part::kChunkSize;
      return line.empty() ? absl::OkStatus() : Wrong("a chunk is longer than it says");
    case Part::kTrailer:
      trailer_bytes_ += line.size() + 2;
      if (trailer_bytes_ > kTrailerBytesMax) {
        return Wrong(absl::StrCat("its trailers are longer than ", kTrailerBytesMax, " bytes"));
      }
      if (line.empty()) part_ = Part::kDone;
      return absl::OkStatus();
    default: return absl::OkStatus();
  }
}

absl::Status HttpResponse::TakeStatusLine(absl::string_view line) {
  // "HTTP/1.1 200 OK"; the reason may be missing, and the space before it too.
  const absl::string_view version = line.substr(0, 9);
  const absl::string_view code = line.size() < 12 ? "" : line.substr(9, 3);
  if ((version != "HTTP/1.1 " && version != "HTTP/1.0 ") || !AllDigits(code) || (line.size() > 12 && line[12] != ' ') ||
      !absl::SimpleAtoi(code, &status_) || status_ < 100) {
    return Wrong("it does not begin with a status line of HTTP/1.1");
  }
  if (status_ == 101) return Wrong("it changes to another protocol, which nobody asked for");
  part_ = Part::kHeader;
  return absl::OkStatus();
}

absl::Status HttpResponse::TakeHeader(absl::string_view line) {
  const size_t colon = line.find(':');
  // A name is followed by its colon at once (RFC 9112 §5.1), and a line that goes on in the next one is obsolete
  // (§5.2): two readers could take either for different lengths.
  if (colon == absl::string_view::npos || colon == 0 ||
      line.substr(0, colon).find_first_of(" \t") != absl::string_view::npos) {
    return Wrong("a header line is malformed");
  }
  if (status_ < 200) return absl::OkStatus();  // an interim response has no body
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "content-length")) {
    uint64_t length = 0;
    if (!AllDigits(value) || !absl::SimpleAtoi(value, &length) || (length_.has_value() && *length_ != length)) {
      return Wrong("its Content-Length is no number, or it has two");
    }
    length_ = length;
  } else if (absl::EqualsIgnoreCase(name, "transfer-encoding")) {
    if (chunked_ || !absl::EqualsIgnoreCase(value, "chunked")) return Wrong("its Transfer-Encoding is not chunked");
    chunked_ = true;
  }
  return absl::OkStatus();
}

absl::Status HttpResponse::EndOfHead() {
  if (status_ < 200) {
    if (++interim_ > kInterimMax)
      return Wrong(absl::StrCat("more than ", kInterimMax, " interim responses come first"));
    part_ = Part::kStatusLine;
    return absl::OkStatus();
  }
  if (status_ != 200) {
    part_ = Part::kDone;
  } else if (chunked_) {
    if (length_.has_value()) return Wrong("it has a Content-Length and is chunked");
    part_ = Part::kChunkSize;
  } else if (length_.has_value()) {
    MESHCA_RETURN_IF_ERROR(Expect(*length_));
    part_ = left_ == 0 ? Part::kDone : Part::kBody;
  } else {
    part_ = Part::kBodyToTheEnd;
  }
  return absl::OkStatus();
}

absl::Status HttpResponse::TakeChunkSize(absl::string_view line) {
  const absl::string_view size = absl::StripAsciiWhitespace(line.substr(0, line.find(';')));  // extensions mean nothing
  uint64_t bytes = 0;
  const bool hex = !size.empty() && std::all_of(size.begin(), size.end(), absl::ascii_isxdigit);
  if (!hex || !absl::SimpleHexAtoi(size, &bytes)) return Wrong("the size of a chunk is no number");
  MESHCA_RETURN_IF_ERROR(Expect(bytes));
  part_ = bytes == 0 ? Part::kTrailer : Part::kChunk;
  return absl::OkStatus();
}

absl::Status HttpResponse::Expect(uint64_t size) {
  if (size > bytes_max_ - body_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the answer is longer than ", bytes_max_, " bytes"));
  }
  left_ = size;
  return absl::OkStatus();
}

}  // namespace meshca
