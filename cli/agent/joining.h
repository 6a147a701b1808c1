// How an agent becomes one: by a join token; and one again, by the key of a certificate that has ended.
#ifndef MESHCA_CLI_AGENT_JOINING_H_
#define MESHCA_CLI_AGENT_JOINING_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/secret.h"
#include "cli/agent/agent_state.h"
#include "cli/agent/own_identity.h"
#include "cli/agent/server_judge.h"
#include "cli/agent/told_trust.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::agent {

struct JoiningOptions {
  std::vector<std::string> servers;  // HOST:PORT, at least one; tried in turn
  std::string agent_version;         // of the program, for people
  absl::Duration retry_first = absl::Milliseconds(200);
  absl::Duration retry_max = absl::Seconds(30);
  absl::Duration call_timeout = absl::Seconds(30);
};

// The order in which things happen is what survives a crash at any point of it:
//   the key is written; the CA is asked; trust, certificate and then the token's mark as spent are written.
// A lost answer is asked for again with the same key, which the CA has bound the token to.
//
// An agent that was never told a trust believes the server whose root the token names by its fingerprint. One that was
// believes by that trust alone, and takes a token only where its root is in that trust: a token is no way to give an
// agent another CA.
class Joining {
 public:
  // References outlive it. `trust` was restored. `tried` is told why the servers that were tried last did not answer,
  // each time before it waits for the next try; on Run's thread.
  Joining(JoiningOptions options, AgentState& state, ToldTrust& trust, const Clock& clock, EntropySource& entropy,
          std::function<void(const absl::Status&)> tried = {});
  ~Joining();

  // Blocks until the agent has joined, is refused, or is stopped. Servers that do not answer are tried again and again.
  // What it returns is saved, and so is the trust.
  //
  // Errors, none of which waiting would mend: InvalidArgument (TOKEN_MALFORMED), FailedPrecondition (TOKEN_SPENT: it
  // brought this agent a certificate before), Unauthenticated (ROOT_UNKNOWN: the token's root is not among those that
  // this agent knows; ServerJudge's; the CA's word on the token), AlreadyExists (the node lives, and the token was not
  // made with --replace), Internal (the CA's answer is not what was asked for), Cancelled (Stop), and the state's.
  absl::StatusOr<OwnIdentityPtr> Run(const SecretBytes& token);

  // Once through the servers: another certificate by the key of `ended`, this agent's own that has ended, for a new
  // key. What it returns is saved, and so is the trust. An answer that was lost is asked for again: by the new key,
  // which the CA knows by then and which was kept.
  //
  // Errors: FailedPrecondition (REJOIN_NOT_OFFERED: the CA that answered lets no agent do so), Unauthenticated
  // (ServerJudge's; the CA's word: the key or the time), PermissionDenied (the node is banned), Unavailable and the
  // like where no server answered, Internal, Cancelled (Stop), and the state's.
  absl::StatusOr<OwnIdentityPtr> RunByKey(const OwnIdentity& ended);

  // Any thread. Run returns soon, and every later one at once.
  void Stop();

 private:
  absl::StatusOr<OwnIdentityPtr> AskInTurn(const SecretBytes& token, const std::string& root,
                                           const std::shared_ptr<const SoftwareKey>& key, bool& may_be_mended);
  absl::StatusOr<OwnIdentityPtr> Ask(const std::string& server, const SecretBytes& token, const std::string& root,
                                     const std::shared_ptr<const SoftwareKey>& key);
  absl::StatusOr<OwnIdentityPtr> AskByKey(const std::string& server, const OwnIdentity& ended,
                                          const std::shared_ptr<const SoftwareKey>& key);
  absl::StatusOr<v1::JoinResponse> CallJoinByKey(rpc::ClientChannel& channel, const ServerJudge& judge,
                                                 const OwnIdentity& ended, const SoftwareKey& proving,
                                                 const SoftwareKey& key);
  absl::StatusOr<std::shared_ptr<const SoftwareKey>> KeyToJoinAgainWith(const OwnIdentity& ended);
  absl::StatusOr<std::string> CallAndWait(rpc::ClientChannel& channel, const ServerJudge& judge, const char* method,
                                          const std::string& request, const rpc::ClientCallOptions& call);
  absl::StatusOr<OwnIdentityPtr> TakeAnswer(const v1::JoinResponse& answer, const TrustDomain& server_domain,
                                            const std::string& root, std::shared_ptr<const SoftwareKey> key);
  bool WaitUnlessStopped(absl::Duration wait);

  const JoiningOptions options_;
  AgentState& state_;
  ToldTrust& trust_;
  const Clock& clock_;
  EntropySource& entropy_;
  const std::function<void(const absl::Status&)> tried_;

  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_JOINING_H_
