// The keys and certificates of a node's workloads as they outlive their agent's process: sealed bytes, in and out.
#ifndef MESHCA_CLI_AGENT_KEPT_KEYS_H_
#define MESHCA_CLI_AGENT_KEPT_KEYS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/chain_verifier.h"
#include "sds/key_ring.h"

namespace meshca::agent {

// Keys, certificates and names of tens of thousands of identities; more than that is neither written nor read.
inline constexpr size_t kKeptBytesMax = size_t{64} << 20;

// `keys` as bytes that only the agent `agent` (its SPIFFE ID names node and trust domain) opens, with the same
// `encryption`: a format and its version, and behind them AES-256-GCM over all else.
// ResourceExhausted: more than kKeptBytesMax.
absl::StatusOr<std::string> SealKeys(const std::vector<sds::KeyRing::SharedKey>& keys, const SpiffeId& agent,
                                     absl::Time now, const KeyEncryption& encryption);

struct KeptKeys {
  absl::Time kept_at;  // when they were sealed
  std::vector<sds::KeyRing::RestoredKey> keys;
  // The others, a sentence each that names the identity and says what is wrong.
  std::vector<std::string> refused;
};

// What SealKeys made of them, each judged as if the CA had just sent it: the certificate is for the key and the
// identity, its path leads to a root of `verifier`, and all of it is valid at `now`.
// InvalidArgument: no such bytes, or of another version's format. DataLoss: they were changed, or another agent's, or
// sealed under another key. Each says so for people.
absl::StatusOr<KeptKeys> OpenKeys(absl::string_view sealed, const SpiffeId& agent, const ChainVerifier& verifier,
                                  absl::Time now, const KeyEncryption& encryption);

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_KEPT_KEYS_H_
