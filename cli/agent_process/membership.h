// How this process comes to the agent's certificate: by a token at first, and later again where the one it has is good
// for nothing any more.
#ifndef MESHCA_CLI_AGENT_PROCESS_MEMBERSHIP_H_
#define MESHCA_CLI_AGENT_PROCESS_MEMBERSHIP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/guarded_clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "cli/agent/agent_state.h"
#include "cli/agent/ca_connection_status.h"
#include "cli/agent/full_jitter.h"
#include "cli/agent/joining.h"
#include "cli/agent/own_identity.h"
#include "cli/agent/told_trust.h"

namespace meshca::cli {

struct MembershipOptions {
  std::vector<std::string> servers;  // HOST:PORT, at least one
  std::string token_file;            // "": none is configured; "-": standard input, read once
};

// Join and JoinAgainWhereNeeded are for one thread at a time; the rest for any.
class Membership {
 public:
  // How often it is to be looked whether somebody has given the agent a new token.
  static constexpr absl::Duration kLook = absl::Seconds(5);

  // Everything outlives it. Trust and identity were restored.
  struct Parts {
    agent::AgentState& state;
    agent::ToldTrust& trust;
    agent::OwnIdentityHolder& identity;
    GuardedClock& clock;
    EntropySource& entropy;
  };
  Membership(MembershipOptions options, const Parts& parts);

  // By token where there is no certificate yet. Blocks until that is done, refused or cancelled: a CA that is away is
  // asked again and again. Errors: agent::Joining::Run's; FailedPrecondition (TOKEN_MISSING): there is nothing to join
  // with.
  absl::Status Join();

  // Where the certificate has ended, or the CA refuses the agent (banned and forgotten, replaced, revoked): by a token
  // file that has not been tried yet; after the end also by the key, where the CA lets it. True: the agent has another
  // certificate. Blocks like Join while a token is tried.
  bool JoinAgainWhereNeeded(const agent::CaConnectionStatus& connection);

  // Why it has not joined again, with what to do; Ok: it has, or need not.
  absl::Status LastError() const;
  bool joined_now() const { return joined_now_; }

  // Ends the call under way, and every later one, with Cancelled.
  void Cancel();

 private:
  absl::Status JoinByToken();
  absl::Status JoinBy(absl::FunctionRef<absl::StatusOr<agent::OwnIdentityPtr>(agent::Joining&)> run);
  bool HasNewToken();
  void WarnOfATokenThatIsNotUsed();
  absl::Status JoinAgainByKey(const agent::OwnIdentity& ended);
  std::string WhereATokenIsLookedFor() const;

  const MembershipOptions options_;
  const Parts parts_;
  bool joined_now_ = false;
  std::string looked_at_;  // the token file as it was when it was tried last
  agent::FullJitter by_key_;
  absl::Duration by_key_at_ = absl::ZeroDuration();  // when the key is tried again
  absl::Status by_key_said_;                         // what came of it last

  mutable Mutex mutex_;
  std::shared_ptr<agent::Joining> joining_ ABSL_GUARDED_BY(mutex_);  // null: none is under way
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_MEMBERSHIP_H_
