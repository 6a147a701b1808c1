#include "ca/authority/active_key.h"

#include <utility>

#include "ca/authority/authority_change.h"
#include "ca/authority/authority_rows.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status ActiveKey::Open() {
  const StoredAuthority* issuing = FindActive(ledger_.state(), AuthorityRole::kIssuing);
  if (issuing == nullptr || (key_ != nullptr && authority_id_ == issuing->id)) return absl::OkStatus();
  key_ = nullptr;
  MESHCA_ASSIGN_OR_RETURN(key_, OpenKey(keys_, *issuing));
  authority_id_ = issuing->id;
  return absl::OkStatus();
}

absl::Status ActiveKey::Take(const SecretBytes& pkcs8, std::string id) {
  MESHCA_ASSIGN_OR_RETURN(key_, SoftwareKey::FromPkcs8Der(pkcs8.reveal()));
  authority_id_ = std::move(id);
  return absl::OkStatus();
}

}  // namespace meshca
