// Whether the server at the other end of a connection is the CA.
#ifndef MESHCA_CLI_AGENT_SERVER_JUDGE_H_
#define MESHCA_CLI_AGENT_SERVER_JUDGE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/rpc/client/client_channel.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_verifier.h"

namespace meshca::agent {

// Believes a server whose certificate leads to a known root and has both the URI name
// `spiffe://TRUST_DOMAIN/meshca/server` and the name that it is called by: the host of its address, or, where that is
// an IP address which the certificate does not list, the name that every meshca server has. The URI is what a workload
// never has, whatever DNS names its entry gives it. Thread-safe.
class ServerJudge {
 public:
  // Under the roots of `verifier`. `clock` outlives the judge.
  ServerJudge(std::shared_ptr<const ChainVerifier> verifier, std::string address, const Clock& clock);
  // For an agent that knows no root yet: under the self-signed CA certificate in the server's own chain whose
  // SubjectPublicKeyInfo has this SHA-256 (32 raw bytes, out of a join token), in whatever trust domain that is.
  ServerJudge(std::string root_spki_sha256, std::string address, const Clock& clock);

  // Unauthenticated: ROOT_FINGERPRINT (no such root in the chain), SERVER_IDENTITY (a certificate of the trust domain
  // that is no server's), SERVER_NAME, or ChainVerifier's; says what was found and what was wanted.
  absl::Status Judge(absl::string_view chain_pem);

  // Judge, for a ClientChannel that `judge` may outlive or not.
  static rpc::ServerVerdict VerdictOf(std::shared_ptr<ServerJudge> judge);

  // What Judge said last, with its reason, which does not come through gRPC. Ok before it was asked.
  absl::Status last_verdict() const;
  // Of the server that was believed last; empty before.
  TrustDomain trust_domain() const;

 private:
  absl::StatusOr<TrustDomain> Find(absl::string_view chain_pem, absl::Time now) const;

  const std::shared_ptr<const ChainVerifier> verifier_;  // null: by the fingerprint
  const std::string root_spki_sha256_;
  const std::string address_;
  const Clock& clock_;
  mutable Mutex mutex_;
  absl::Status last_verdict_ ABSL_GUARDED_BY(mutex_);
  TrustDomain trust_domain_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_SERVER_JUDGE_H_
