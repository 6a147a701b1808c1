// Join tokens.
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_lookup.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/join_token_terms.h"
#include "ca/identity/join_token_text.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "ca/x509/encoding.h"

namespace meshca::admin_methods {
namespace {

v1::JoinToken Message(const JoinToken& token, absl::Time now) {
  v1::JoinToken message;
  message.set_id(token.id);
  message.set_spiffe_id(token.spiffe_id.uri());
  message.set_node(token.node);
  message.set_state(now >= token.expires_at ? "expired" : token.used_key_sha256.empty() ? "fresh" : "used");
  SetTime(token.created_at, [&] { return message.mutable_created_at(); });
  SetTime(token.expires_at, [&] { return message.mutable_expires_at(); });
  SetTime(token.used_at, [&] { return message.mutable_used_at(); });
  message.set_created_by(token.created_by);
  message.set_replace(token.replace);
  return message;
}

}  // namespace

absl::StatusOr<v1::CreateTokenResponse> CreateToken(const AdminContext& context, const std::string& actor,
                                                    const v1::CreateTokenRequest& request) {
  JoinTokenTerms terms;
  if (!request.spiffe_id().empty()) {
    MESHCA_ASSIGN_OR_RETURN(terms.spiffe_id, SpiffeId::Parse(request.spiffe_id()));
  }
  terms.node = request.node();
  terms.replace = request.replace();
  if (request.has_ttl()) terms.ttl = ToDuration(request.ttl());
  MESHCA_RETURN_IF_ERROR(CompleteJoinTokenTerms(context.facts.trust_domain, terms));
  const auto snapshot = context.authorities.Current();
  if (snapshot == nullptr) return absl::UnavailableError("the CA is starting");
  MESHCA_ASSIGN_OR_RETURN(const SigningAuthority root, ActiveRoot(*snapshot));

  // A token made by a clock that is ahead would be good for as much longer once that is set right.
  const absl::Time now = context.clock.LikelyNow();
  const SecretBytes text = MakeJoinToken(root.certificate.public_key().sha256(), context.entropy);
  JoinToken token;
  token.secret_sha256 = JoinTokenSha256(text.reveal());
  token.id = JoinTokenId(token.secret_sha256);
  token.spiffe_id = terms.spiffe_id;
  token.node = terms.node;
  token.created_at = now;
  token.expires_at = now + terms.ttl;
  token.created_by = actor;
  token.replace = terms.replace;
  AuditEntry audit;
  audit.time = now;
  audit.actor = actor;
  audit.action = "token.create";
  audit.target = terms.spiffe_id.uri();
  audit.detail = absl::StrCat("token ", token.id, " until ", OffsetText(token.expires_at),
                              token.replace ? "; replaces the machine that has the node's name" : "");
  MESHCA_RETURN_IF_ERROR(context.tokens.CreateToken(token, audit));

  v1::CreateTokenResponse response;
  response.set_token(std::string(text.reveal()));
  *response.mutable_record() = Message(token, now);
  response.set_root_fingerprint(root.id);
  return response;
}

absl::StatusOr<v1::ListTokensResponse> ListTokens(const AdminContext& context, const std::string& actor,
                                                  const v1::ListTokensRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<JoinToken> tokens, context.tokens.ListTokens());
  v1::ListTokensResponse response;
  const absl::Time now = context.clock.LikelyNow();
  for (const JoinToken& token : tokens) *response.add_tokens() = Message(token, now);
  return response;
}

absl::StatusOr<v1::DeleteTokenResponse> DeleteToken(const AdminContext& context, const std::string& actor,
                                                    const v1::DeleteTokenRequest& request) {
  AuditEntry audit;
  audit.time = context.clock.LikelyNow();
  audit.actor = actor;
  audit.action = "token.delete";
  audit.target = request.id();
  const absl::Status deleted = context.tokens.DeleteToken(request.id(), audit);
  if (absl::IsNotFound(deleted)) {
    return absl::NotFoundError(absl::StrCat("no token \"", request.id(), "\"; `meshca token list` shows their ids"));
  }
  MESHCA_RETURN_IF_ERROR(deleted);
  return v1::DeleteTokenResponse();
}

}  // namespace meshca::admin_methods
