#include "ca/authn/join_token.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/join_token_terms.h"
#include "ca/identity/join_token_text.h"

namespace meshca {
namespace {

absl::Status RefusedToken(absl::string_view reason, absl::string_view sentence) {
  return WithReason(absl::UnauthenticatedError(sentence), reason);
}

}  // namespace

JoinTokenAuthenticator::JoinTokenAuthenticator(TokenStore& store, FairPool::Options options)
    : store_(store), pool_([&options] {
        options.what = "join tokens";
        return std::move(options);
      }()) {}

JoinTokenAuthenticator::~JoinTokenAuthenticator() {
  stopping_ = true;
  pool_.Stop();
}

bool JoinTokenAuthenticator::Recognises(const Credentials& credentials) const {
  return LooksLikeJoinToken(credentials.bearer_token.reveal());
}

void JoinTokenAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const absl::string_view text = credentials.bearer_token.reveal();
  if (absl::StatusOr<JoinTokenText> parts = ParseJoinToken(text); !parts.ok()) {
    return std::move(done)(RefusedToken("TOKEN_MALFORMED", parts.status().message()));
  }
  absl::StatusOr<FairPool::Place> place = pool_.Admit(credentials.source);
  if (!place.ok()) return std::move(done)(place.status());
  pool_.Submit(*std::move(place), [this, hash = JoinTokenSha256(text), now,
                                   abandoned = std::move(credentials.abandoned), done = std::move(done)]() mutable {
    if (stopping_) return std::move(done)(absl::UnavailableError("the server is shutting down"));
    if (abandoned && abandoned()) return std::move(done)(absl::CancelledError("the caller went away"));
    std::move(done)(Judge(hash, now));
  });
}

absl::StatusOr<CallerIdentity> JoinTokenAuthenticator::Judge(const std::string& secret_sha256, absl::Time now) {
  absl::StatusOr<JoinToken> token = store_.FindToken(secret_sha256);
  if (absl::IsNotFound(token.status())) {
    return RefusedToken(
        "TOKEN_UNKNOWN",
        "join token: unknown; it was deleted, or another CA made it. Get a new one: meshca token create "
        "SPIFFE_ID, or for a node's agent meshca token create --node NODE");
  }
  if (!token.ok()) return Annotate(token.status(), "join token");
  if (now >= token->expires_at) {
    return RefusedToken("TOKEN_EXPIRED",
                        absl::StrCat("join token ", token->id, ": expired at ", Rfc3339Text(token->expires_at),
                                     "; get a new one: ", NewTokenCommand(token->spiffe_id)));
  }
  CallerIdentity caller;
  caller.method = AuthMethod::kJoinToken;
  caller.subject = absl::StrCat("token ", token->id);
  caller.ids = {token->spiffe_id};
  caller.node = token->node;
  caller.token_id = token->id;
  caller.origin = {OriginKind::kJoinToken, token->id};
  caller.proof_expires = token->expires_at;
  return caller;
}

}  // namespace meshca
