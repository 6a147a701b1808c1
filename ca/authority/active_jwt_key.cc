#include "ca/authority/active_jwt_key.h"

#include "ca/authority/jwt_authority_rows.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status ActiveJwtKey::Open() {
  const StoredJwtAuthority* const active = FindActiveJwt(ledger_.state().jwt_authorities);
  if (active != nullptr && signer_ != nullptr && signer_->key_id == active->key_id) return absl::OkStatus();
  signer_ = nullptr;
  if (active == nullptr) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(signer_, OpenJwtKey(keys_, *active));
  return absl::OkStatus();
}

}  // namespace meshca
