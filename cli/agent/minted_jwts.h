// JWT-SVIDs for the workloads of this node: minted by the CA, and handed out again until half of their life is over.
#ifndef MESHCA_CLI_AGENT_MINTED_JWTS_H_
#define MESHCA_CLI_AGENT_MINTED_JWTS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/spiffe/spiffe_id.h"
#include "cli/agent/ca_caller.h"
#include "cli/agent/told_trust.h"

namespace meshca::agent {

struct JwtWish {
  SpiffeId id;
  std::string entry_id;                // which entry gives the right; judged by the agent before, and by the CA
  std::vector<std::string> audiences;  // CheckJwtAudiences
};

struct HeldJwt {
  std::string token;
  absl::Time expires_at;
};

struct MintedJwtsOptions {
  size_t tokens_max = 4096;
  // Calls to the CA under way, and those who wait for one of them.
  size_t minting_max = 256;
  size_t waiting_max = 4096;
};

// Who asks for the same identity and the same audiences, in whatever order, gets the same token; several who ask at one
// time make one call. A token's age counts by the boot clock from the moment at which the CA was asked, so a wall clock
// that is set neither prolongs nor ends it. What the CA answers is judged as any validator would (ValidateJwtSvid),
// by the keys that this agent was told, and must be for the wished identity and for exactly the wished audiences. Where
// there is no room, the identity that has the most tokens loses the one that ends first.
//
// Thread-safe. Mint is cheap where the token is there.
class MintedJwts {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<HeldJwt>) &&>;

  // References outlive it, and it outlives the executor's Shutdown. Before the trust changes for the first time: it
  // listens, and drops the tokens of keys that are trusted no more.
  MintedJwts(MintedJwtsOptions options, CaCaller& ca, ToldTrust& trust, const JudgedClock& clock);

  // `done` runs once: before this returns where the token is there or cannot be had, else on the executor. No lock is
  // held, and it must not block.
  // Errors: InvalidArgument (JWT_AUDIENCE_INVALID), ResourceExhausted, the CA's own (PermissionDenied: not this
  // agent's to ask), Unavailable (no connection; or JWT_NOT_BELIEVED: the answer is not what was asked for).
  void Mint(JwtWish wish, Done done);

  // The tokens of these identities are handed out no more; who waits for one of them is told Unavailable with `reason`:
  // whether there is still a right to one, the CA says when it is asked again.
  void StopServing(const std::vector<std::string>& spiffe_ids, const std::string& reason);

  size_t size() const;  // tokens

 private:
  struct Entry {
    std::string spiffe_id;
    std::string kid;
    HeldJwt token;
    absl::Duration fresh_until;  // by the boot clock
  };
  struct Minting {
    JwtWish wish;
    absl::Duration asked_at;  // by the boot clock
    std::vector<Done> waiting;
  };

  // What `done` is to be told now; nullopt: it has been taken, and waits for the CA, which is to be asked where `ask`.
  std::optional<absl::StatusOr<HeldJwt>> AnswerOrWait(const std::string& key, const JwtWish& wish, Done& done,
                                                      bool& ask);
  void Ask(const std::string& key, const JwtWish& wish);
  void TakeAnswer(const std::string& key, const absl::StatusOr<std::string>& response);
  absl::StatusOr<Entry> ReadAnswer(const absl::StatusOr<std::string>& response, const JwtWish& wish,
                                   absl::Duration asked_at) const;
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropUntrusted(const sds::Trust& trust);

  const MintedJwtsOptions options_;
  CaCaller& ca_;
  const ToldTrust& trust_;
  const JudgedClock& clock_;

  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> tokens_ ABSL_GUARDED_BY(mutex_);     // by identity and audiences
  absl::flat_hash_map<std::string, Minting> minting_ ABSL_GUARDED_BY(mutex_);  // by the same
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_MINTED_JWTS_H_
