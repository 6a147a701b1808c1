// Links: ca_http
// The reader of HTTP requests: takes any bytes, in pieces that end anywhere (the first byte says how long they are),
// and says the same of them as of the whole; what it keeps is bounded.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/http/message_reader.h"

namespace {

using meshca::http::RequestReader;

constexpr size_t kHeadBytesMax = 256;
constexpr size_t kBodyBytesMax = 64;

// How many bytes belong to the request.
size_t Read(absl::string_view bytes, size_t piece, RequestReader& reader) {
  const size_t all = bytes.size();
  while (!bytes.empty() &&
         (reader.state() == RequestReader::State::kHead || reader.state() == RequestReader::State::kBody)) {
    bytes.remove_prefix(reader.Take(bytes.substr(0, piece)));
  }
  return all - bytes.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  RequestReader whole(kHeadBytesMax, kBodyBytesMax), pieces(kHeadBytesMax, kBodyBytesMax);
  const size_t used = Read(bytes, std::max<size_t>(bytes.size(), 1), whole);
  const size_t used_in_pieces = Read(bytes, data[0] % 16 + 1, pieces);
  MESHCA_CHECK(whole.state() == pieces.state() && whole.refusal() == pieces.refusal());
  MESHCA_CHECK((whole.state() == RequestReader::State::kRefused) == (whole.refusal() != 0));
  if (whole.state() == RequestReader::State::kComplete) {
    MESHCA_CHECK(used == used_in_pieces);
    MESHCA_CHECK(whole.request().body == pieces.request().body && whole.request().path == pieces.request().path);
    MESHCA_CHECK(whole.request().body.size() <= kBodyBytesMax && whole.request().path.size() <= kHeadBytesMax);
    MESHCA_CHECK(whole.keep_alive() == pieces.keep_alive());
  }
  return 0;
}
