// A key that signs JWT-SVIDs: its state, and what proves that its public half has reached everybody.
#ifndef MESHCA_CA_AUTHORITY_JWT_AUTHORITY_H_
#define MESHCA_CA_AUTHORITY_JWT_AUTHORITY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/authority/signing_authority.h"
#include "ca/jwt/jwt_key.h"
#include "ca/subscribers/trust_version.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// The JWT authority of SPIFFE's standard (JWT-SVID §6): a P-256 key, in no certificate, so it has no dates of its own.
// Prepared: in the trust bundle, signs nothing yet. Active: signs. Old: signs no more, and stays in the bundle until
// the last token that it signed has ended. Retired: left the bundle, its private key is destroyed. A tainted one is
// retired in the same moment: unlike an X.509 authority, it takes nothing with it that lives longer than five minutes.
// Immutable.
struct JwtAuthority {
  JwtKey key;
  AuthorityState state = AuthorityState::kPrepared;
  bool tainted = false;
  // Whoever holds this trust version or a later one holds the key, until it is retired. 0: it was never published.
  TrustVersion published_version = 0;
  absl::Time created_at;
  absl::Time activated_at = absl::InfiniteFuture();
  absl::Time replaced_at = absl::InfiniteFuture();  // when its successor became active
  absl::Time retired_at = absl::InfiniteFuture();

  // Whether the bundle has to hold it.
  bool IsTrusted() const { return state != AuthorityState::kRetired; }
};

// The first of `keys` in this state; null: there is none.
const JwtAuthority* FindInState(const std::vector<JwtAuthority>& keys, AuthorityState state);

// The opened private key of the active JwtAuthority. Immutable; shared by every thread that mints.
struct JwtSigner {
  std::string key_id;
  std::shared_ptr<const SigningKey> key;  // never null, of type P-256
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_AUTHORITY_H_
