#include "ca/authn/join_token.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/identity/join_token_text.h"

namespace meshca {
namespace {

absl::Status Refused(absl::string_view reason, absl::string_view sentence) {
  return WithReason(absl::UnauthenticatedError(sentence), reason);
}

}  // namespace

JoinTokenAuthenticator::JoinTokenAuthenticator(TokenStore& store, Options options)
    : store_(store), queue_(std::array<size_t, 1>{options.queue_max}) {
  for (size_t i = 0; i < std::max<size_t>(options.threads, 1); ++i) threads_.emplace_back([this] { Run(); });
}

JoinTokenAuthenticator::~JoinTokenAuthenticator() {
  stopping_ = true;
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
}

bool JoinTokenAuthenticator::Recognises(const Credentials& credentials) const {
  return LooksLikeJoinToken(credentials.bearer_token.reveal());
}

void JoinTokenAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const absl::string_view text = credentials.bearer_token.reveal();
  if (absl::StatusOr<JoinTokenText> parts = ParseJoinToken(text); !parts.ok()) {
    return std::move(done)(Refused("TOKEN_MALFORMED", parts.status().message()));
  }
  Lookup lookup{JoinTokenSha256(text), now, std::move(done)};
  if (queue_.TryPush(lookup)) return;
  std::move(lookup.done)(
      WithReason(absl::ResourceExhaustedError("too many join tokens wait to be looked up; retry with backoff"),
                 "AUTHENTICATION_QUEUE_FULL"));
}

void JoinTokenAuthenticator::Run() {
  while (std::optional<Lookup> lookup = queue_.Pop()) {
    absl::StatusOr<CallerIdentity> verdict =
        stopping_ ? absl::UnavailableError("the server is shutting down") : Judge(*lookup);
    std::move(lookup->done)(std::move(verdict));
  }
}

absl::StatusOr<CallerIdentity> JoinTokenAuthenticator::Judge(const Lookup& lookup) {
  absl::StatusOr<JoinToken> token = store_.FindToken(lookup.secret_sha256);
  if (absl::IsNotFound(token.status())) {
    return Refused("TOKEN_UNKNOWN",
                   "join token: unknown; it was deleted, or another CA made it. Get a new one: meshca token create "
                   "SPIFFE_ID");
  }
  if (!token.ok()) return Annotate(token.status(), "join token");
  if (lookup.now >= token->expires_at) {
    return Refused("TOKEN_EXPIRED",
                   absl::StrCat("join token ", token->id, ": expired at ",
                                absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", token->expires_at, absl::UTCTimeZone()),
                                "; get a new one: meshca token create ", token->spiffe_id.uri()));
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
