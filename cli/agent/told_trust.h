// What an agent trusts: what its CA told it last.
#ifndef MESHCA_CLI_AGENT_TOLD_TRUST_H_
#define MESHCA_CLI_AGENT_TOLD_TRUST_H_

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/mutex.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/chain_verifier.h"
#include "cli/agent/agent_state.h"
#include "meshca/agent/v1/agent.pb.h"
#include "sds/trust_source.h"

namespace meshca::agent {

// The version only grows, over restarts too: whatever was told is written to the state before anybody is told of it.
// Where the disk cannot take it, it holds all the same, because a root that was taken away must not go on being
// trusted; it is then written as soon as that works (SaveAgain).
//
// Thread-safe. Restore, Adopt and SaveAgain block on the disk, and on each other; listeners run on the threads of the
// first two, one call at a time and in order of version.
class ToldTrust final : public sds::TrustSource {
 public:
  // `state` outlives it. Trusts nothing before Restore or Adopt.
  explicit ToldTrust(AgentState& state) : state_(state) {}

  // Takes what the state has, if it has anything. Once, before any Adopt. Errors: AgentState::LoadTrust's, DataLoss.
  absl::Status Restore();

  // Takes what a believed server has told. An older version than the one that holds is refused, and so is other content
  // of the same version, and another trust domain than the agent's own in the first place. The same again changes
  // nothing. FailedPrecondition (TRUST_OLDER, TRUST_FORKED, TRUST_DOMAIN_CHANGED), InvalidArgument (TRUST_MALFORMED).
  absl::Status Adopt(const v1::Trust& message);

  // Writes what could not be written when it was told. Ok where there is nothing to write.
  absl::Status SaveAgain();

  std::shared_ptr<const sds::Trust> Current() const override;
  void AddListener(Listener listener) override;

  // Of the trust that holds: null and empty before there is one. Judges SVIDs of the agent's own trust domain.
  std::shared_ptr<const ChainVerifier> verifier() const;
  TrustDomain trust_domain() const;

 private:
  void Publish(const v1::Trust& message, std::shared_ptr<const sds::Trust> trust)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(adopting_);

  AgentState& state_;
  Mutex adopting_;                                // held across the disk and the listeners
  v1::Trust message_ ABSL_GUARDED_BY(adopting_);  // what holds, as it was told
  bool unsaved_ ABSL_GUARDED_BY(adopting_) = false;
  mutable Mutex mutex_;
  std::shared_ptr<const sds::Trust> current_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const ChainVerifier> verifier_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_TOLD_TRUST_H_
