// Any bytes as what an agent kept for its next process, and as what is sealed in it: never a key of its own word.
// Links: cli_agent_parts proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "cli/agent/kept_keys.h"
#include "cli/agent/own_identity.h"

namespace {

using namespace meshca;         // NOLINT: an entry point of its own
using namespace meshca::agent;  // NOLINT

constexpr char kHead[] = "meshca kept keys 1";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const domain = [] {
    google::protobuf::SetLogHandler(nullptr);
    return new TrustDomain(*TrustDomain::Parse("cluster.local"));
  }();
  static const auto* const agent = new SpiffeId(*AgentId(*domain, "node-1"));
  static const auto* const encryption = new KeyEncryption(*KeyEncryption::FromKey(SecretBytes(std::string(32, 'k'))));
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ChainVerifier verifier(*domain, {});
  MESHCA_CHECK(!OpenKeys(bytes, *agent, verifier, absl::Now(), *encryption).ok());
  MESHCA_CHECK(!OpenKeys(absl::StrCat(kHead, bytes), *agent, verifier, absl::Now(), *encryption).ok());

  // What is sealed was sealed by us: and yet nothing of it is believed by itself.
  const std::string sealed = *encryption->Seal(bytes, absl::StrCat(kHead, "\n", agent->uri()));
  const absl::StatusOr<KeptKeys> kept =
      OpenKeys(absl::StrCat(kHead, sealed), *agent, verifier, absl::Now(), *encryption);
  if (!kept.ok()) {
    MESHCA_CHECK(kept.status().code() == absl::StatusCode::kDataLoss);
  } else {
    MESHCA_CHECK(kept->keys.empty());
  }
  return 0;
}
