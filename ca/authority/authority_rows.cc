#include "ca/authority/authority_rows.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/authority/plugged_in_ca.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"

namespace meshca {
namespace {

// What a sealed key is bound to. The certificate's hash as well as the id: a cross-certificate shares the key's id.
absl::StatusOr<std::string> AssociatedData(const StoredAuthority& row) {
  if (row.chain_der.empty()) return absl::DataLossError("stored without a certificate");
  MESHCA_ASSIGN_OR_RETURN(Certificate certificate, Certificate::Parse(Der(row.chain_der.front())));
  return absl::StrCat("authority ", row.id, " ", AuthorityRoleName(row.role), " ", HexLower(certificate.sha256()));
}

std::string Name(const StoredAuthority& row) {
  return absl::StrCat(AuthorityRoleName(row.role), " authority ", row.id.substr(0, 16));
}

absl::StatusOr<std::shared_ptr<const SigningKey>> OpenSealed(const KeyEncryption& keys, const StoredAuthority& row) {
  MESHCA_ASSIGN_OR_RETURN(std::string associated, AssociatedData(row));
  MESHCA_ASSIGN_OR_RETURN(SecretBytes pkcs8, keys.Open(row.sealed_key, associated));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::FromPkcs8Der(pkcs8.reveal()));
  return std::shared_ptr<const SigningKey>(std::move(key));
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

absl::Status SealKey(const KeyEncryption& keys, absl::string_view key_pkcs8, StoredAuthority& row) {
  MESHCA_ASSIGN_OR_RETURN(std::string associated, AssociatedData(row));
  MESHCA_ASSIGN_OR_RETURN(row.sealed_key, keys.Seal(key_pkcs8, associated));
  row.key_reference = std::string(kSealedKey);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const SigningKey>> OpenKey(const KeyEncryption& keys, const StoredAuthority& row) {
  absl::StatusOr<std::shared_ptr<const SigningKey>> key =
      absl::FailedPreconditionError("meshca does not hold its private key");
  absl::string_view folder = row.key_reference;
  if (row.key_reference == kSealedKey) {
    key = OpenSealed(keys, row);
  } else if (absl::ConsumePrefix(&folder, kFileKeyPrefix)) {
    key = LoadPluggedInKey(std::string(folder));
  }
  if (!key.ok()) return Annotate(key.status(), Name(row));
  if ((*key)->public_key().sha256_hex() != row.id) {
    return absl::DataLossError(absl::StrCat(Name(row), ": the private key ", row.key_reference,
                                            " is another authority's (", (*key)->public_key().sha256_hex(), ")"));
  }
  return key;
}

absl::StatusOr<SigningAuthority> ToAuthority(const StoredAuthority& row) {
  SigningAuthority authority;
  authority.id = row.id;
  authority.role = row.role;
  authority.state = row.state;
  authority.tainted = row.tainted;
  authority.root_id = row.root_id;
  authority.key_reference = row.key_reference;
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

absl::StatusOr<StoredAuthority> MakeIssuingRow(const TrustDomain& domain, const StoredAuthority& root,
                                               const KeyEncryption& keys, KeyType key_type, absl::Time now,
                                               absl::Duration lifetime, EntropySource& entropy) {
  MESHCA_ASSIGN_OR_RETURN(SigningAuthority parent, ToAuthority(root));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(key_type));
  absl::StatusOr<Certificate> certificate;
  {
    MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<const SigningKey> root_key, OpenKey(keys, root));
    certificate = BuildIssuing(domain, key->public_key(), parent.certificate, *root_key, now, lifetime, entropy);
  }
  if (!certificate.ok()) return Annotate(certificate.status(), "new issuing authority");
  StoredAuthority row =
      MakeRow(AuthorityRole::kIssuing, AuthorityState::kActive, *certificate, parent.upstream, root.id, now);
  MESHCA_RETURN_IF_ERROR(SealKey(keys, key->ToPkcs8Der().reveal(), row));
  return row;
}

}  // namespace meshca
