#include "storage/token_rules.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/join_token_terms.h"
#include "storage/inventory.h"
#include "storage/node_rules.h"
#include "storage/store.h"
#include "storage/trust_macs.h"

namespace meshca::storage {
namespace {

absl::Status RefuseToken(absl::string_view message, absl::string_view reason) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("join token: ", message)), reason);
}

}  // namespace

absl::Status CreateToken(Tables& tables, const KeyEncryption& keys, const JoinToken& token) {
  const absl::Status allowed = CheckTokenOfNode(Inventory(tables, keys), token.node);
  if (ReasonOf(allowed) == kNodeBanned) {
    return WithReason(absl::FailedPreconditionError(allowed.message()), kNodeBanned);
  }
  MESHCA_RETURN_IF_ERROR(allowed);
  absl::Status inserted = tables.tokens.Insert(token, MacsOf(token, keys));
  if (!absl::IsAlreadyExists(inserted)) return inserted;
  return absl::AlreadyExistsError(absl::StrCat("join token: ", token.id, " exists"));
}

absl::StatusOr<JoinToken> FindToken(Tables& tables, const KeyEncryption& keys, absl::string_view secret_sha256) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<WithMac<JoinToken>> row, tables.tokens.FindBySecret(secret_sha256));
  if (!row.has_value()) return absl::NotFoundError("join token: unknown");
  return Verified(*std::move(row), keys);
}

absl::StatusOr<std::vector<JoinToken>> ListTokens(Tables& tables, const KeyEncryption& keys) {
  std::vector<JoinToken> tokens;
  MESHCA_RETURN_IF_ERROR(tables.tokens.Visit([&](WithMac<JoinToken> row) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(JoinToken token, Verified(std::move(row), keys));
    tokens.push_back(std::move(token));
    return absl::OkStatus();
  }));
  return tokens;
}

absl::Status DeleteToken(Tables& tables, absl::string_view id) {
  MESHCA_ASSIGN_OR_RETURN(const bool deleted, tables.tokens.Delete(id));
  return deleted ? absl::OkStatus() : absl::NotFoundError(absl::StrCat("join token: no token ", id));
}

absl::StatusOr<Redemption> CheckRedemption(Tables& tables, const KeyEncryption& keys, const IssuanceRecord& record) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<WithMac<JoinToken>> row, tables.tokens.FindById(record.token_id));
  if (!row.has_value()) {
    return RefuseToken(absl::StrCat("unknown: it was deleted; ask for a new one: ", NewTokenCommand(record.spiffe_id)),
                       kTokenUnknown);
  }
  Redemption redemption;
  MESHCA_ASSIGN_OR_RETURN(redemption.token, Verified(*std::move(row), keys));
  const JoinToken& token = redemption.token;
  if (record.issued_at >= token.expires_at) {
    return RefuseToken(absl::StrCat("expired at ", OffsetText(token.expires_at),
                                    "; ask for a new one: ", NewTokenCommand(token.spiffe_id)),
                       kTokenExpired);
  }
  // A ban deletes the tokens of its node. Bans of earlier versions left those of workloads.
  MESHCA_RETURN_IF_ERROR(CheckTokenOfNode(Inventory(tables, keys), token.node));
  redemption.first = token.used_key_sha256.empty();
  if (!redemption.first && token.used_key_sha256 != record.key_sha256) {
    return RefuseToken(absl::StrCat("was used for another key; ask for a new one: ", NewTokenCommand(token.spiffe_id)),
                       kTokenUsed);
  }
  return redemption;
}

absl::Status MarkTokenUsed(Tables& tables, const KeyEncryption& keys, JoinToken token, const IssuanceRecord& record) {
  token.used_key_sha256 = record.key_sha256;
  token.used_at = record.issued_at;
  return tables.tokens.WriteUse(token, MacsOf(token, keys).mac);
}

}  // namespace meshca::storage
