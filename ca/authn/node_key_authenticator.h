// Agents of nodes whose certificate has ended, and who have its key.
#ifndef MESHCA_CA_AUTHN_NODE_KEY_AUTHENTICATOR_H_
#define MESHCA_CA_AUTHN_NODE_KEY_AUTHENTICATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/fair_pool.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/secret.h"
#include "ca/identity/node_key.h"
#include "ca/identity/node_store.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// A proof with what it is judged by.
struct NodeKeyClaim {
  NodeKeyProof proof;
  std::string csr;             // PKCS#10, DER; signed with the proof
  uint64_t connection_id = 0;  // of rpc::Peer: where the claim came from
  std::string source;          // whose share of the work it takes (Credentials::source)
  std::function<bool()> abandoned;
};

// Gives challenges and judges what was signed for them. A challenge is nothing that is kept: it says when it was given,
// and a MAC under a key of this process ties it to that and to the connection. So a proof counts on the connection that
// the challenge went to, for kChallengeLife, in this process, and the machine's wall clock has no part in it.
//
// The inventory is asked first, on a FairPool as for join tokens: a stranger who does not know the key of a node's
// agent causes no public-key work. The issuance that follows judges all of it again in its own transaction.
//
// Thread-safe.
class NodeKeyAuthenticator {
 public:
  static constexpr absl::Duration kChallengeLife = absl::Minutes(1);

  struct Options {
    absl::Duration grace;  // how long after its certificate's end an agent may join again; 0: never
    FairPool::Options pool = {.threads = 2};
  };

  // `store`, `clock` and what `entropy` names outlive the authenticator.
  NodeKeyAuthenticator(NodeStore& store, const TrustDomain& trust_domain, const JudgedClock& clock,
                       EntropySource& entropy, Options options);
  ~NodeKeyAuthenticator() { Stop(); }

  // Waits for the work under way; answers the waiting ones Unavailable, and later ones. Idempotent, by one thread.
  void Stop();

  absl::Duration grace() const { return grace_; }
  bool offered() const { return grace_ > absl::ZeroDuration(); }

  // For a connection; any thread, no work to speak of.
  std::string MakeChallenge(uint64_t connection_id) const;

  // `done` runs once, on a thread of the pool, or at once on the caller's where there is nothing to look up. The caller
  // that comes of it may have its agent's ID and nothing else.
  //
  // Unauthenticated: REJOIN_OFF, NODE_KEY_PROOF (it is malformed, or the signature is not the key's), JudgeNodeKey's.
  // InvalidArgument: NODE_NAME. ResourceExhausted: FairPool's. Unavailable: CHALLENGE_ENDED, CLOCK_NOT_BELIEVED, the
  // store is away, or the server shuts down. Bans and revocations are for the issuance to judge.
  void Authenticate(NodeKeyClaim claim, Authenticator::Done done);

 private:
  std::string ChallengeMac(uint64_t connection_id, absl::string_view time) const;
  absl::Status CheckChallenge(absl::string_view challenge, uint64_t connection_id) const;
  absl::StatusOr<CallerIdentity> Judge(const NodeKeyClaim& claim) const;

  NodeStore& store_;
  const TrustDomain trust_domain_;
  const JudgedClock& clock_;
  const absl::Duration grace_;
  const SecretBytes challenge_key_;
  std::atomic<bool> stopping_ = false;
  FairPool pool_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_NODE_KEY_AUTHENTICATOR_H_
