// The messages of agent.proto, from and to the types of the CA.
#ifndef MESHCA_CA_SERVICE_AGENT_MESSAGE_H_
#define MESHCA_CA_SERVICE_AGENT_MESSAGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/agents/agent_report.h"
#include "ca/agents/node_entries.h"
#include "ca/authority/trust_bundle.h"
#include "ca/base/mutex.h"
#include "ca/rpc/payload.h"
#include "ca/x509/certificate_chain.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca {

// The newest protocol version that this server speaks; it speaks the one before it too.
inline constexpr uint32_t kAgentProtocolVersion = 1;

// The version that both ends speak, where `newest` is the agent's newest and each end speaks its newest and the one
// before. InvalidArgument: 0. FailedPrecondition (PROTOCOL_VERSION) names the versions of both.
absl::StatusOr<uint32_t> AgreeOnProtocol(uint32_t newest);

// Texts that are for people come out printable and cut short. InvalidArgument (REPORT_MALFORMED) says which bound or
// rule is broken.
absl::StatusOr<HeldReport> ReadHeld(const agent::v1::Held& held);
// A program's version, as it is shown and logged.
std::string VersionText(absl::string_view version);

agent::v1::Trust TrustMessage(const TrustBundle& bundle);
// `now`: the CA's time, where it believes its clock.
agent::v1::AttachResponse WelcomeMessage(uint32_t protocol_version, absl::Duration heartbeat,
                                         absl::Duration delivered_after, std::optional<absl::Time> now);
agent::v1::AttachResponse EntriesMessage(const EntriesUpdate& update, const EntriesPart& part);
agent::v1::AttachResponse PermitMessage(const std::vector<std::string>& authority_ids, uint64_t certificates,
                                        absl::Duration within);
agent::v1::AttachResponse RenewMessage(const std::vector<std::string>& spiffe_ids,
                                       const std::vector<std::string>& serials);
agent::v1::AttachResponse StopMessage(const std::vector<std::string>& serials,
                                      const std::vector<std::string>& spiffe_ids, absl::string_view reason);

// DER, leaf first, the root left out.
void AddChain(const CertificateChain& chain, google::protobuf::RepeatedPtrField<std::string>* field);

// Updates that go to many agents are serialised once. Thread-safe.
class EntriesMessages {
 public:
  using Messages = std::vector<rpc::Payload>;
  // One message a part.
  std::shared_ptr<const Messages> Of(const std::shared_ptr<const EntriesUpdate>& update);

 private:
  struct Made {
    std::weak_ptr<const EntriesUpdate> update;
    std::shared_ptr<const Messages> messages;
  };
  Mutex mutex_;
  absl::flat_hash_map<const EntriesUpdate*, Made> made_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_MESSAGE_H_
