// The rules of join tokens: who may redeem one, and that a row whose MAC does not fit is refused.
#ifndef MESHCA_STORAGE_TOKEN_RULES_H_
#define MESHCA_STORAGE_TOKEN_RULES_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/token_store.h"
#include "ca/issuance/issuance_store.h"
#include "storage/tables.h"

namespace meshca::storage {

// See TokenStore for these calls and their errors. They run inside a transaction of the caller.
absl::Status CreateToken(Tables& tables, const KeyEncryption& keys, const JoinToken& token);
absl::StatusOr<JoinToken> FindToken(Tables& tables, const KeyEncryption& keys, absl::string_view secret_sha256);
absl::StatusOr<std::vector<JoinToken>> ListTokens(Tables& tables, const KeyEncryption& keys);
absl::Status DeleteToken(Tables& tables, absl::string_view id);

// Checks that `record` may redeem its token. Unauthenticated (kTokenUnknown, kTokenExpired or kTokenUsed),
// PermissionDenied (kNodeBanned: the token is for processes on a node that is banned, or for its agent): it may not.
// `first`: the token was not redeemed before; the caller then calls MarkTokenUsed after it has inserted the issuance.
struct Redemption {
  JoinToken token;
  bool first = false;
};
absl::StatusOr<Redemption> CheckRedemption(Tables& tables, const KeyEncryption& keys, const IssuanceRecord& record);
absl::Status MarkTokenUsed(Tables& tables, const KeyEncryption& keys, JoinToken token, const IssuanceRecord& record);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TOKEN_RULES_H_
