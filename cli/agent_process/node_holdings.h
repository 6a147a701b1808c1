// What this node holds, as its CA is told: the evidence for a rotation.
#ifndef MESHCA_CLI_AGENT_PROCESS_NODE_HOLDINGS_H_
#define MESHCA_CLI_AGENT_PROCESS_NODE_HOLDINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "ca/subscribers/subscriber_record.h"
#include "ca/subscribers/trust_version.h"
#include "cli/agent/ca_connection.h"
#include "meshca/agent/v1/agent.pb.h"
#include "sds/sds_service.h"
#include "sds/trust_source.h"

namespace meshca::cli {

// A key of the node's key ring.
struct RingKey {
  std::string spiffe_id;
  std::string serial;
  std::string authority_id;
};

// Composes the report. Everybody who is connected or may still use what he was given counts as a consumer. He is behind
// where he takes trust and has not acknowledged `told`, or where the certificate that he acknowledged is none of those
// that the ring has now; certificates of the latter kind count under the authority that signed them, beside those of
// the ring, because somebody still shows them. `program_of` finds a process's executable. Pure but for that.
agent::v1::Held ComposeHeld(const std::vector<SubscriberRecord>& consumers, const std::vector<RingKey>& keys,
                            TrustVersion told, absl::FunctionRef<std::string(uint32_t pid)> program_of);

// Thread-safe after Connect.
class NodeHoldings final : public agent::HeldSource {
 public:
  // Both outlive it. Connect before the connection to the CA begins.
  explicit NodeHoldings(const sds::TrustSource& trust) : trust_(trust) {}
  void Connect(sds::SdsService& sds) { sds_ = &sds; }

  agent::v1::Held Report() override;
  // The same counts, and nobody's program is looked up.
  agent::v1::Held Count() const;

 private:
  agent::v1::Held Compose(absl::FunctionRef<std::string(uint32_t pid)> program_of) const;

  const sds::TrustSource& trust_;
  sds::SdsService* sds_ = nullptr;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_NODE_HOLDINGS_H_
