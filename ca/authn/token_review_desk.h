// The one place from which the API server is asked about tokens, with an eye on what that costs it.
#ifndef MESHCA_CA_AUTHN_TOKEN_REVIEW_DESK_H_
#define MESHCA_CA_AUTHN_TOKEN_REVIEW_DESK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/service_account_claims.h"
#include "ca/authn/token_reviewer.h"
#include "ca/base/clock.h"
#include "ca/base/secret.h"

namespace meshca {

struct TokenReviewLimits {
  size_t under_way_max = 8;  // calls at once
  // Callers that wait for a call to begin or to be answered: all, and of one source (Credentials::source).
  size_t waiting_max = 2048;
  size_t waiting_per_source_max = 64;
  absl::Duration wait_max = absl::Seconds(5);  // until the call begins
  // Calls in the long run, and how many may come at once after a quiet time; of one source at most half of both. Zero
  // per second: no limit.
  double per_second = 10;
  size_t burst = 50;
  // Tokens whose signature was verified are asked about without these two limits; they hold for the others all the
  // same.
  bool verified_freely = false;
  // For how long an answer is remembered: a good one also never past the token's end, a bad one shorter, for it may
  // come from a pod that the API server itself did not know yet.
  absl::Duration keep = absl::Seconds(60);
  absl::Duration keep_refused = absl::Seconds(5);
  size_t answers_max = 16'384;
};

// Callers with the same token share one call and its answer. Tokens whose signature was verified go first, and the
// others, which anybody may make, leave them half of the places and of the calls. No source has more than half of the
// calls, so that one with many tokens leaves some to the others. Thread-safe; has no thread of its own.
class TokenReviewDesk {
 public:
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  struct Question {
    SecretBytes token;
    std::string token_digest;  // JwtDigest::token
    ServiceAccountClaims claims;
    absl::Time expires;
    bool signature_verified = false;
    std::string source;
  };

  // `reviewer` and `clock` outlive it; a call that the reviewer still answers afterwards does no harm.
  TokenReviewDesk(TokenReviewLimits limits, std::vector<std::string> audiences, TokenReviewer& reviewer,
                  const Clock& clock);
  ~TokenReviewDesk();  // Stop

  // Never blocks. `done` runs exactly once, on any thread, perhaps before this returns. Ok: the API server believes the
  // token, and its claims are true. Unauthenticated: JudgeTokenReview's. Unavailable: TOKEN_REVIEW_UNAVAILABLE (there
  // was no answer, which says nothing about the token; the log says why), TOKEN_REVIEWS_BUSY (too many were asked for,
  // or the turn did not come in time).
  void Ask(Question question, absl::Time now, Done done);

  // Answers whoever waits, Unavailable; when this returns nobody is told anything any more. Idempotent; not inside a
  // `done`.
  void Stop();

  // Calls made so far. For metrics.
  uint64_t calls() const;
  // Why the last call that ended gave no answer, in the reviewer's words; "": it gave one, or none has ended yet.
  std::string last_error() const;

 private:
  class State;
  const std::shared_ptr<State> state_;  // shared with the calls under way
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_TOKEN_REVIEW_DESK_H_
