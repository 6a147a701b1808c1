// Links: ca_http
// The reader of HTTP answers: takes any bytes, in pieces that end anywhere (the first byte says how long they are), and
// says the same of them as of the whole; what it keeps is bounded.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/http/message_reader.h"

namespace {

constexpr size_t kBytesMax = 64;

absl::Status Read(absl::string_view bytes, size_t piece, meshca::http::ResponseReader& response) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    if (absl::Status taken = response.Take(bytes.substr(0, piece)); !taken.ok()) return taken;
  }
  return response.done() ? absl::OkStatus() : response.End();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  meshca::http::ResponseReader whole(kBytesMax), pieces(kBytesMax);
  const absl::Status status = Read(bytes, std::max<size_t>(bytes.size(), 1), whole);
  MESHCA_CHECK(Read(bytes, data[0] % 16 + 1, pieces) == status);
  MESHCA_CHECK(status.ok() || status.code() == absl::StatusCode::kInvalidArgument);
  MESHCA_CHECK(whole.status() == pieces.status() && (!status.ok() || whole.body() == pieces.body()));
  MESHCA_CHECK(whole.body().size() <= kBytesMax && pieces.body().size() <= kBytesMax);
  MESHCA_CHECK(!status.ok() || whole.done());
  return 0;
}
