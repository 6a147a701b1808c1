// What one agent of a node knows and wants, without keys and without a connection: a value that messages of the CA
// change.
#ifndef MESHCA_TEST_BENCH_SIMULATED_AGENT_H_
#define MESHCA_TEST_BENCH_SIMULATED_AGENT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::bench {

// Serves `consumers` consumers that acknowledge everything at once, except one where it was told to fall asleep. Holds
// one certificate for each of its node's entries.
class SimulatedAgent {
 public:
  // Names a certificate that is to be signed.
  struct Wish {
    static constexpr int kOwn = -1;
    int entry = kOwn;  // place in the entries; kOwn: the agent's own
  };

  SimulatedAgent(std::string node, std::string spiffe_id, uint32_t consumers)
      : node_(std::move(node)), spiffe_id_(std::move(spiffe_id)), consumers_(consumers) {}

  const std::string& node() const { return node_; }
  const std::string& spiffe_id() const { return spiffe_id_; }
  absl::Duration heartbeat() const { return heartbeat_; }
  size_t certificates() const;

  // The first message of a stream.
  agent::v1::AttachRequest Hello() const;
  // A message of the stream; what it says of roots is for who has the connection. Errors: Internal, where it breaks the
  // protocol.
  absl::Status Take(const agent::v1::AttachResponse& message);
  // The stream has ended; what the agent knows and holds stays.
  void Detach() { welcomed_ = false; }
  // Its process starts again: what was in memory is gone, its own certificate is not.
  void Restart();

  // Takes up to `max` certificates that are wanted now; each is given to TakeResult afterwards. None while detached.
  std::vector<Wish> TakeWishes(size_t max);
  // All but the CSR.
  agent::v1::CertificateRequest RequestFor(const Wish& wish) const;
  // The certificate's identity.
  const std::string& IdOf(const Wish& wish) const;
  // Of a workload's certificate. Where there is none it is wanted again; returns the refusal's status.
  absl::Status TakeResult(const Wish& wish, const agent::v1::CertificateResult& result);
  // The call failed: all of it is wanted again.
  void TakeFailure(const std::vector<Wish>& wishes);

  void set_own_serial(std::string serial) { own_serial_ = std::move(serial); }

  // One consumer takes nothing from now on, until it wakes up and takes what there is.
  void FallAsleep();
  void WakeUp();

  // Something changed since the last report.
  bool has_news() const { return has_news_ && welcomed_; }
  agent::v1::AttachRequest Report();

  // Attached, told everything, and holds a certificate for each entry.
  bool settled() const;
  bool told_all() const { return welcomed_ && trust_version_ > 0 && entries_complete_; }
  uint64_t trust_version() const { return trust_version_; }

 private:
  struct Held {
    agent::v1::NodeEntry entry;
    std::string serial;  // "": none
    std::string authority_id;
    bool wanted = true;  // to be asked for
    bool asked = false;
  };

  absl::Status TakeEntries(const agent::v1::EntriesChange& change);
  void TakePermit(const agent::v1::ReissuePermit& permit);
  void TakeRenewNow(const agent::v1::RenewNow& renew);

  const std::string node_;
  const std::string spiffe_id_;
  const uint32_t consumers_;
  absl::Duration heartbeat_ = absl::Seconds(15);

  bool welcomed_ = false;
  bool has_news_ = false;
  uint64_t trust_version_ = 0;
  uint64_t entries_revision_ = 0;
  bool entries_complete_ = false;
  std::vector<Held> held_;
  std::string own_serial_;
  bool own_wanted_ = false;
  bool asleep_ = false;
  uint64_t asleep_at_version_ = 0;
  absl::Time asleep_since_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_SIMULATED_AGENT_H_
