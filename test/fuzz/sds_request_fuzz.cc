// Any bytes as an SDS request, in both protocols: an ask within its bounds, or an InvalidArgument.
// Links: sds proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
    const auto resolved = meshca::sds::ResolveName(name, caller, domain, {});
    if (!resolved.ok()) {
      MESHCA_CHECK(resolved.status().code() == absl::StatusCode::kPermissionDenied);
      MESHCA_CHECK(resolved.status().message().size() < 4096);
    } else if (resolved->kind == meshca::sds::SecretKind::kIdentity) {
      MESHCA_CHECK(resolved->id.MemberOf(domain) && !resolved->id.IsReserved());
    }
  }
}

// Nobody is taken for having acknowledged who did not, or who asked for something besides. (Bytes that are no UTF-8 may
// pass for a bare ACK that is no request.)
void CheckBareAck(meshca::sds::Protocol protocol, absl::string_view bytes, const absl::StatusOr<DiscoveryAsk>& ask) {
  const std::vector<absl::string_view> names = {"ROOTCA"};
  if (!ask.ok() || !meshca::sds::IsBareAck(protocol, bytes, "1", names)) return;
  MESHCA_CHECK(ask->nonce == "1" && !ask->rejection.has_value() && ask->unsubscribe.empty());
  MESHCA_CHECK(protocol == meshca::sds::Protocol::kDelta ? ask->names.empty() : ask->names.size() == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto state = meshca::sds::ReadStateRequest(bytes);
  const auto delta = meshca::sds::ReadDeltaRequest(bytes);
  CheckAsk(state);
  CheckAsk(delta);
  CheckBareAck(meshca::sds::Protocol::kStateOfTheWorld, bytes, state);
  CheckBareAck(meshca::sds::Protocol::kDelta, bytes, delta);
  return 0;
}
