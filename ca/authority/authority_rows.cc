#include "ca/authority/authority_rows.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/authority/exported_authority.h"
#include "ca/authority/jwt_authority_rows.h"
#include "ca/authority/plugged_in_ca.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Whom a key is kept for. The certificate's hash as well as the id: a cross-certificate shares the key's id.
absl::StatusOr<std::string> OwnerOf(const StoredAuthority& row) {
  if (row.chain_der.empty()) return absl::DataLossError("stored without a certificate");
  MESHCA_ASSIGN_OR_RETURN(Certificate certificate, Certificate::Parse(Der(row.chain_der.front())));
  return absl::StrCat("authority ", row.id, " ", AuthorityRoleName(row.role), " ", HexLower(certificate.sha256()));
}

std::string Name(const StoredAuthority& row) {
  return absl::StrCat(AuthorityRoleName(row.role), " authority ", row.id.substr(0, 16));
}

StoredKey KeyOf(const StoredAuthority& row) { return {row.key_reference, row.sealed_key}; }

absl::StatusOr<std::shared_ptr<const SigningKey>> OpenStored(KeyStore& keys, const StoredAuthority& row) {
  MESHCA_ASSIGN_OR_RETURN(const std::string owner, OwnerOf(row));
  return keys.Open(KeyOf(row), owner);
}

}  // namespace

StoredAuthority MakeRow(AuthorityRole role, AuthorityState state, const Certificate& certificate,
                        const std::vector<Certificate>& upstream, absl::string_view root_id, absl::Time now) {
  StoredAuthority row;
  row.id = certificate.spki_sha256_hex();
  row.role = role;
  row.state = state;
  row.root_id = std::string(root_id);
  row.chain_der.push_back(certificate.der().bytes());
  for (const Certificate& next : upstream) row.chain_der.push_back(next.der().bytes());
  row.created_at = now;
  if (state == AuthorityState::kActive) row.activated_at = now;
  return row;
}

absl::Status PutKey(const NewKey& key, StoredAuthority& row) {
  MESHCA_ASSIGN_OR_RETURN(const std::string owner, OwnerOf(row));
  MESHCA_ASSIGN_OR_RETURN(StoredKey stored, key.ToStored(owner));
  row.key_reference = std::move(stored.reference);
  row.sealed_key = std::move(stored.sealed);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const SigningKey>> OpenKey(KeyStore& keys, const StoredAuthority& row) {
  absl::StatusOr<std::shared_ptr<const SigningKey>> key =
      absl::FailedPreconditionError("meshca does not hold its private key");
  absl::string_view folder = row.key_reference;
  if (absl::ConsumePrefix(&folder, kFileKeyPrefix)) {
    key = LoadPluggedInKey(std::string(folder));
  } else if (row.key_reference == kExportedKey) {
    key = absl::FailedPreconditionError("its private key was exported, and meshca never held it");
  } else if (!row.key_reference.empty()) {
    key = OpenStored(keys, row);
  }
  if (!key.ok()) return Annotate(key.status(), Name(row));
  if ((*key)->public_key().sha256_hex() != row.id) {
    return absl::DataLossError(absl::StrCat(Name(row), ": the private key ", row.key_reference,
                                            " is another authority's (", (*key)->public_key().sha256_hex(), ")"));
  }
  return key;
}

std::vector<StoredKey> KeysGivenUp(const AuthoritiesAndBundle& state, const AuthorityChange& change) {
  std::vector<StoredKey> gone;
  for (const StoredAuthority& before : state.authorities) {
    // A plugged-in key is its owner's to destroy, and so is an exported one.
    if (before.key_reference.empty() || absl::StartsWith(before.key_reference, kFileKeyPrefix)) continue;
    if (before.key_reference == kExportedKey) continue;
    const auto is_it = [&before](const StoredAuthority& row) { return row.id == before.id; };
    const auto after = std::find_if(change.authorities.begin(), change.authorities.end(), is_it);
    const bool forgotten = std::find(change.forgotten_authorities.begin(), change.forgotten_authorities.end(),
                                     before.id) != change.forgotten_authorities.end();
    const bool replaced = after != change.authorities.end() && KeyOf(*after) != KeyOf(before);
    if (forgotten || replaced) gone.push_back(KeyOf(before));
  }
  for (const StoredJwtAuthority& before : state.jwt_authorities) {
    const StoredJwtAuthority* const after = FindJwtKey(change.jwt_authorities, before.key_id);
    const StoredKey key = {before.key_reference, before.sealed_key};
    if (before.key_reference.empty() || after == nullptr) continue;
    if (StoredKey{after->key_reference, after->sealed_key} != key) gone.push_back(key);
  }
  return gone;
}

absl::StatusOr<SigningAuthority> ToAuthority(const StoredAuthority& row) {
  SigningAuthority authority;
  authority.id = row.id;
  authority.role = row.role;
  authority.state = row.state;
  authority.tainted = row.tainted;
  authority.root_id = row.root_id;
  authority.key_reference = row.key_reference;
  authority.exported = WasExported(row);
  for (const std::string& der : row.chain_der) {
    auto certificate = Certificate::Parse(Der(der));
    if (!certificate.ok()) {
      return absl::DataLossError(absl::StrCat(Name(row), ": stored certificate: ", certificate.status().message()));
    }
    if (authority.certificate.empty()) {
      authority.certificate = *std::move(certificate);
    } else {
      authority.upstream.push_back(*std::move(certificate));
    }
  }
  if (authority.certificate.empty() || authority.certificate.spki_sha256_hex() != row.id) {
    return absl::DataLossError(absl::StrCat(Name(row), ": the stored certificate is not its own"));
  }
  return authority;
}

}  // namespace meshca
