#include "ca/authority/jwt_authority_rows.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Whom a private key is kept for.
std::string OwnerOf(absl::string_view key_id) { return absl::StrCat("jwt authority ", key_id); }

std::string Name(absl::string_view key_id) { return absl::StrCat("JWT key ", key_id); }

const StoredJwtAuthority* FindState(const std::vector<StoredJwtAuthority>& rows, AuthorityState state) {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [state](const StoredJwtAuthority& each) { return each.state == state; });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

absl::StatusOr<StoredJwtAuthority> MakeJwtAuthority(KeyStore& keys, absl::Time now) {
  for (;;) {
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> key, keys.Generate(KeyType::kEcP256));
    StoredJwtAuthority row;
    MESHCA_ASSIGN_OR_RETURN(row.key_id, JwkThumbprint(key->public_key()));
    // One in 64. It would be taken for an option: `meshca jwt taint -Xy...`.
    if (absl::StartsWith(row.key_id, "-")) continue;
    MESHCA_ASSIGN_OR_RETURN(StoredKey stored, key->ToStored(OwnerOf(row.key_id)));
    row.public_key_der = std::string(key->public_key().spki());
    row.key_reference = std::move(stored.reference);
    row.sealed_key = std::move(stored.sealed);
    row.created_at = now;
    return row;
  }
}

absl::StatusOr<std::shared_ptr<const JwtSigner>> OpenJwtKey(KeyStore& keys, const StoredJwtAuthority& row) {
  auto key = keys.Open({row.key_reference, row.sealed_key}, OwnerOf(row.key_id));
  if (!key.ok()) return Annotate(key.status(), Name(row.key_id));
  if ((*key)->public_key().spki() != row.public_key_der) {
    return absl::DataLossError(absl::StrCat(Name(row.key_id), ": its private key is another key's"));
  }
  return std::make_shared<const JwtSigner>(JwtSigner{row.key_id, *std::move(key)});
}

absl::StatusOr<JwtAuthority> ToJwtAuthority(const StoredJwtAuthority& row) {
  const absl::StatusOr<PublicKey> key = PublicKey::FromSpki(row.public_key_der);
  if (!key.ok() || key->type() != KeyType::kEcP256) {
    return absl::DataLossError(absl::StrCat(Name(row.key_id), ": what is stored is no P-256 public key"));
  }
  MESHCA_ASSIGN_OR_RETURN(const std::string thumbprint, JwkThumbprint(*key));
  if (thumbprint != row.key_id) {
    return absl::DataLossError(absl::StrCat(Name(row.key_id), ": the stored public key is that of ", thumbprint));
  }
  JwtAuthority authority;
  authority.key = {row.key_id, *key};
  authority.state = row.state;
  authority.tainted = row.tainted;
  authority.published_version = row.published_sequence;
  authority.created_at = row.created_at;
  authority.activated_at = row.activated_at;
  authority.replaced_at = row.replaced_at;
  authority.retired_at = row.retired_at;
  return authority;
}

const StoredJwtAuthority* FindActiveJwt(const std::vector<StoredJwtAuthority>& rows) {
  return FindState(rows, AuthorityState::kActive);
}

const StoredJwtAuthority* FindPreparedJwt(const std::vector<StoredJwtAuthority>& rows) {
  return FindState(rows, AuthorityState::kPrepared);
}

const StoredJwtAuthority* FindJwtKey(const std::vector<StoredJwtAuthority>& rows, absl::string_view key_id) {
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [key_id](const StoredJwtAuthority& each) { return each.key_id == key_id; });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace meshca
