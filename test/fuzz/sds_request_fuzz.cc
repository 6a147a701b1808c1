// Any bytes as an SDS request, in both protocols: an ask within its bounds, or an InvalidArgument.
// Links: sds proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "sds/discovery_request.h"
#include "sds/secret_name.h"

namespace {

using meshca::sds::DiscoveryAsk;

bool Printable(absl::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

void CheckAsk(const absl::StatusOr<DiscoveryAsk>& ask) {
  if (!ask.ok()) {
    MESHCA_CHECK(ask.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  MESHCA_CHECK(ask->node_id.size() <= meshca::sds::kNodeIdBytesMax && Printable(ask->node_id));
  MESHCA_CHECK(!ask->rejection.has_value() ||
               (ask->rejection->size() <= meshca::sds::kRejectionBytesMax && Printable(*ask->rejection)));
  MESHCA_CHECK(ask->names.size() <= meshca::sds::kNamesMax && ask->unsubscribe.size() <= meshca::sds::kNamesMax);

  // What a name may be is decided by nothing but its caller: here one that may have almost everything.
  static const meshca::TrustDomain& domain = *new meshca::TrustDomain(*meshca::TrustDomain::Parse("td.test"));
  static const meshca::sds::SdsCaller& caller = *[] {
    auto* const made = new meshca::sds::SdsCaller;
    auto peer = std::make_shared<meshca::rpc::Peer>();
    peer->transport = meshca::rpc::Transport::kUnix;
    peer->unix_credentials = meshca::rpc::UnixCredentials{1, 2, 3, 4};
    made->peer = peer;
    made->identity.any_id_of_trust_domain = true;
    return made;
  }();
  for (const std::string& name : ask->names) {
    MESHCA_CHECK(name.size() <= meshca::sds::kNameBytesMax);
    const auto resolved = meshca::sds::ResolveName(name, caller, domain);
    if (!resolved.ok()) {
      MESHCA_CHECK(resolved.status().code() == absl::StatusCode::kPermissionDenied);
      MESHCA_CHECK(resolved.status().message().size() < 4096);
    } else if (resolved->kind == meshca::sds::SecretKind::kIdentity) {
      MESHCA_CHECK(resolved->id.MemberOf(domain) && !resolved->id.IsReserved());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckAsk(meshca::sds::ReadStateRequest(bytes));
  CheckAsk(meshca::sds::ReadDeltaRequest(bytes));
  return 0;
}
