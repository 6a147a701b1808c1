#include "cli/server/http_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace meshca::cli {
namespace {

HttpRequest Refuse(int status) {
  HttpRequest request;
  request.state = HttpRequest::State::kRefused;
  request.refusal = status;
  return request;
}

bool IsVisible(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// The path of a request target; "" when it has none that this endpoint could serve.
absl::string_view PathOf(absl::string_view target) {
  if (absl::StartsWithIgnoreCase(target, "http://")) {
    target.remove_prefix(7);
    size_t slash = target.find('/');
    target = slash == absl::string_view::npos ? absl::string_view("/") : target.substr(slash);
  }
  if (!absl::StartsWith(target, "/")) return "";
  return target.substr(0, target.find_first_of("?#"));
}

HttpRequest ReadRequestLine(absl::string_view line) {
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == absl::string_view::npos || first == last) return Refuse(400);
  absl::string_view method = line.substr(0, first);
  absl::string_view target = line.substr(first + 1, last - first - 1);
  absl::string_view version = line.substr(last + 1);
  if (!IsVisible(method) || !IsVisible(target)) return Refuse(400);
  if (!absl::StartsWith(version, "HTTP/") || version.size() != 8) return Refuse(400);
  if (!absl::StartsWith(version, "HTTP/1.") || !absl::ascii_isdigit(static_cast<unsigned char>(version[7]))) {
    return Refuse(505);
  }
  HttpRequest request;
  request.is_head = method == "HEAD";
  if (method != "GET" && !request.is_head) return Refuse(405);
  request.path = std::string(PathOf(target));
  if (request.path.empty()) return Refuse(400);
  request.state = HttpRequest::State::kComplete;
  return request;
}

}  // namespace

HttpRequest ReadRequest(absl::string_view bytes, size_t head_bytes_max) {
  absl::string_view head = bytes.substr(0, head_bytes_max);
  size_t line_end = head.find('\n');
  // A request line that is wrong already is refused without waiting for the rest.
  absl::string_view line = head.substr(0, line_end);
  if (line_end != absl::string_view::npos && !absl::ConsumeSuffix(&line, "\r")) return Refuse(400);
  if (head.find('\0') != absl::string_view::npos) return Refuse(400);
  if (head.find("\r\n\r\n") != absl::string_view::npos) return ReadRequestLine(line);
  return bytes.size() >= head_bytes_max ? Refuse(431) : HttpRequest();
}

}  // namespace meshca::cli
