// Where join tokens are kept. storage/ implements it.
#ifndef MESHCA_CA_IDENTITY_TOKEN_STORE_H_
#define MESHCA_CA_IDENTITY_TOKEN_STORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// A join token as the CA remembers it: bound to one SPIFFE ID, hashed at rest. It is redeemed by the transaction that
// records the issuance (IssuanceRecord::token_id): the first redemption binds it to that request's public key, and the
// same key may repeat until the token ends, so a lost reply costs nothing; another key is refused.
struct JoinToken {
  std::string id;             // public: hex of the first 8 bytes of the hash; what `token list` shows
  std::string secret_sha256;  // 32 bytes: SHA-256 of the token's text
  SpiffeId spiffe_id;
  std::string node;  // node the holder joins as, that of an agent's ID if it has one; "" for none
  absl::Time created_at;
  absl::Time expires_at;
  std::string created_by;
  std::string used_key_sha256;  // 32 bytes once redeemed: SHA-256 of the redeemer's SubjectPublicKeyInfo; else ""
  absl::Time used_at = absl::InfinitePast();
  // Of a token for a node's agent: it may take the node's name from a machine that lives.
  bool replace = false;
};

// Thread-safe. Every call blocks on the database: for the pool, never for a loop.
// Errors of all: Unavailable (database away), DataLoss (a row's MAC does not fit: somebody wrote the file by hand).
class TokenStore {
 public:
  virtual ~TokenStore() = default;

  // Durable when it returns Ok. AlreadyExists: the same secret. FailedPrecondition (NODE_BANNED): its node is
  // banned.
  virtual absl::Status CreateToken(const JoinToken& token, const AuditEntry& audit) = 0;
  // NotFound: no token with that hash.
  virtual absl::StatusOr<JoinToken> FindToken(absl::string_view secret_sha256) = 0;
  virtual absl::StatusOr<std::vector<JoinToken>> ListTokens() = 0;
  // NotFound: no token with that id.
  virtual absl::Status DeleteToken(absl::string_view id, const AuditEntry& audit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_TOKEN_STORE_H_
