// Keeps the keys of this node's workloads with the service manager, so that the agent's next process has them.
#ifndef MESHCA_CLI_AGENT_PROCESS_KEY_KEEPER_H_
#define MESHCA_CLI_AGENT_PROCESS_KEY_KEEPER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "cli/agent/agent_state.h"
#include "cli/agent/kept_keys.h"
#include "cli/agent/own_identity.h"
#include "cli/agent/told_trust.h"
#include "cli/process/service_manager.h"
#include "sds/key_ring.h"

namespace meshca::cli {

// What is kept now, and what came of what was kept before.
struct KeptKeysView {
  bool on = false;  // a service manager started this process
  uint64_t kept = 0;
  absl::Time kept_at = absl::InfinitePast();  // of the last keeping
  absl::Status failure;                       // why the newest keys are not kept; Ok: they are
  uint64_t restored = 0;                      // keys that the process before had
  uint64_t refused = 0;                       // of those that it kept, what is not served again; the log says why
};

// systemd stores a descriptor for a service (FileDescriptorStoreMax=) and hands it to the service's next process,
// however the last one ended. Here that is one sealed file in memory (sealed_memory.h) with all keys that workloads
// share (kept_keys.h), under a key that is in the state directory: memory can be swapped out, and what is stored can be
// read by root alone anyway.
//
// Restore first, then one thread at a time; View on any.
class KeyKeeper {
 public:
  struct Parts {  // all outlive the keeper
    const agent::AgentState& state;
    const agent::ToldTrust& trust;
    const agent::OwnIdentityHolder& identity;
    const JudgedClock& clock;
    sds::KeyRing& keys;
  };

  // `stored`: what the manager handed to this process.
  KeyKeeper(Parts parts, std::vector<StoredDescriptor> stored);

  // Puts the keys that the process before kept into the ring, as far as they are still worth anything. Whatever is
  // wrong with them is said in the log, and the agent goes on without. After the trust and the identity were restored,
  // before anybody is served.
  void Restore();

  // Stores what the ring has, where that has changed since it was stored last. At once; returns after how long it wants
  // to run again. Keeping never takes more than a small part of the time, however many keys there are.
  absl::Duration Keep();

  KeptKeysView View() const;

 private:
  absl::StatusOr<agent::KeptKeys> Open(const StoredDescriptor& stored) const;
  void TakeOver(agent::KeptKeys kept);
  absl::Status Store(const std::vector<sds::KeyRing::SharedKey>& keys);
  absl::Status RemoveStored(size_t newest);

  const Parts parts_;
  std::vector<StoredDescriptor> stored_;
  std::vector<std::string> names_;  // of what the manager has of ours, the newest last
  uint64_t next_number_ = 1;
  uint64_t changes_ = 0;  // of the ring (KeyRingStats), when it was stored last

  mutable Mutex mutex_;
  KeptKeysView view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_KEY_KEEPER_H_
