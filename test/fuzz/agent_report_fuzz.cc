// Any bytes as what an agent says to its CA: within bounds or refused, and without a signature no proof of a key.
// Links: ca_service proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "ca/authn/node_key_authenticator.h"
#include "ca/base/check.h"
#include "ca/base/entropy.h"
#include "ca/base/printable.h"
#include "ca/service/agent_message.h"
#include "ca/x509/digest.h"
#include "meshca/agent/v1/agent.pb.h"
#include "test/fakes/fake_clock.h"

namespace {

namespace v1 = meshca::agent::v1;

// Every node is there, and its agent has the key that was shown last.
class EveryNode final : public meshca::NodeStore {
 public:
  absl::StatusOr<meshca::NodeRecord> FindNode(absl::string_view node) override {
    meshca::NodeRecord record;
    record.node = std::string(node);
    record.key_sha256 = key_sha256;
    return record;
  }
  absl::StatusOr<std::vector<meshca::NodeRecord>> ListNodes() override { return absl::UnimplementedError(""); }
  absl::StatusOr<meshca::NodeBan> BanNode(absl::string_view, absl::string_view, const meshca::AuditEntry&) override {
    return absl::UnimplementedError("");
  }
  absl::Status ForgetNode(absl::string_view, const meshca::AuditEntry&) override {
    return absl::UnimplementedError("");
  }
  std::string key_sha256;
};

bool IsShown(const std::string& text) { return meshca::Printable(text) == text; }

void CheckReport(const v1::Held& held) {
  const auto report = meshca::ReadHeld(held);
  if (!report.ok()) {
    MESHCA_CHECK(report.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  MESHCA_CHECK(report->behind_first.size() <= meshca::HeldReport::kBehindMax);
  MESHCA_CHECK(report->under.size() <= meshca::HeldReport::kUnderMax);
  for (const meshca::BehindConsumer& consumer : report->behind_first) {
    MESHCA_CHECK(IsShown(consumer.spiffe_id) && IsShown(consumer.program));
  }
}

void CheckHello(const v1::AttachHello& hello) {
  const auto version = meshca::AgreeOnProtocol(hello.protocol_version());
  MESHCA_CHECK(!version.ok() || *version <= meshca::kAgentProtocolVersion);
  MESHCA_CHECK(IsShown(meshca::VersionText(hello.agent_version())));
}

// Nobody joins by bytes that no key has signed, however they look.
void CheckJoin(const v1::JoinRequest& request) {
  static auto* const nodes = new EveryNode;
  static auto* const clock = new meshca::FakeClock;
  static auto* const keys = new meshca::NodeKeyAuthenticator(
      *nodes, *meshca::TrustDomain::Parse("cluster.local"), *clock, meshca::SystemEntropy(), {.grace = absl::Hours(1)});
  const v1::NodeKeyProof& proof = request.proof();
  meshca::NodeKeyClaim claim;
  claim.proof = {proof.node(), proof.public_key(), keys->MakeChallenge(1), proof.signature_algorithm(),
                 proof.signature()};
  claim.csr = request.csr();
  claim.connection_id = 1;
  claim.source = "fuzz";
  nodes->key_sha256 = meshca::Sha256(proof.public_key());
  std::promise<bool> joined;
  keys->Authenticate(std::move(claim),
                     [&](absl::StatusOr<meshca::CallerIdentity> caller) { joined.set_value(caller.ok()); });
  MESHCA_CHECK(!joined.get_future().get());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  v1::JoinRequest join;
  if (join.ParseFromArray(data, static_cast<int>(size)) && join.has_proof()) CheckJoin(join);
  v1::AttachRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  if (request.has_held()) CheckReport(request.held());
  if (request.has_hello()) CheckHello(request.hello());
  return 0;
}
