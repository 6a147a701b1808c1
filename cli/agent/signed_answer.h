// One certificate out of the CA's answer to Sign or Join, checked before anything of it is used.
#ifndef MESHCA_CLI_AGENT_SIGNED_ANSWER_H_
#define MESHCA_CLI_AGENT_SIGNED_ANSWER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/public_key.h"
#include "meshca/agent/v1/agent.pb.h"
#include "sds/svid_source.h"

namespace meshca::agent {

// The status of `result` where the CA refused, with its reason.
absl::Status RefusalOf(const v1::CertificateResult& result);

// Reads chains whose issuers are mostly the same: those are parsed and encoded once. Not thread-safe.
class SignedAnswerReader {
 public:
  // `what` is read, as errors call it.
  explicit SignedAnswerReader(std::string what = "the CA's answer") : what_(std::move(what)) {}

  // `chain` (DER, leaf first, root left out) as an Svid. It must be for `key` and `id`, each certificate signed by the
  // next, and its path to a root of `verifier` valid at `now`.
  // Internal (reason ANSWER_INVALID) says which of these does not hold. Unavailable (reason ANSWER_NOT_TRUSTED): it
  // leads to no root that this agent was told, or is not valid by this machine's clock.
  absl::StatusOr<sds::Svid> Read(const google::protobuf::RepeatedPtrField<std::string>& chain, const PublicKey& key,
                                 const SpiffeId& id, const ChainVerifier& verifier, absl::Time now);

 private:
  absl::Status Invalid(absl::string_view why) const;
  absl::Status NotTrusted(const absl::Status& why, absl::Time now) const;

  struct Issuers {
    std::vector<Certificate> certificates;
    std::shared_ptr<const std::vector<std::string>> pem;
  };
  absl::StatusOr<Issuers> IssuersOf(const google::protobuf::RepeatedPtrField<std::string>& chain,
                                    const Certificate& leaf);

  const std::string what_;
  std::string last_der_;  // of last_, one behind the other
  Issuers last_;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_SIGNED_ANSWER_H_
