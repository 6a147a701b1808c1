// Links: ca_spiffe
// The SPIFFE ID parser: what it accepts reads back as itself, and its messages stay short.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/spiffe/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using meshca::SpiffeId;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(text);
  if (!id.ok()) {
    MESHCA_CHECK(id.status().code() == absl::StatusCode::kInvalidArgument);
    MESHCA_CHECK(id.status().message().size() < 1000);
    return 0;
  }
  MESHCA_CHECK(id->uri().size() == text.size() && text.size() <= SpiffeId::kBytesMax);
  MESHCA_CHECK(*SpiffeId::Parse(id->uri()) == *id);
  MESHCA_CHECK(*SpiffeId::FromParts(id->trust_domain(), id->path()) == *id);
  MESHCA_CHECK(id->MemberOf(id->trust_domain()));
  MESHCA_CHECK(id->MatchesGlob("*") && id->MatchesGlob(id->uri()));
  return 0;
}
