#include "ca/authority/authority_snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"
#include "ca/authority/jwt_authority_rows.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// The key with the SubjectPublicKeyInfo `der`, which the bundle holds.
absl::StatusOr<JwtKey> TrustedJwtKey(const AuthoritiesAndBundle& state, const std::string& der) {
  const auto is_it = [&der](const StoredJwtAuthority& row) { return row.public_key_der == der; };
  const auto row = std::find_if(state.jwt_authorities.begin(), state.jwt_authorities.end(), is_it);
  if (row == state.jwt_authorities.end() || row->state == AuthorityState::kRetired) {
    return absl::DataLossError(absl::StrCat("trust bundle ", state.bundle->sequence_number, " holds a JWT key that is ",
                                            row == state.jwt_authorities.end() ? "unknown" : "retired"));
  }
  MESHCA_ASSIGN_OR_RETURN(JwtAuthority authority, ToJwtAuthority(*row));
  return std::move(authority.key);
}

absl::StatusOr<std::shared_ptr<const TrustBundle>> MakeBundle(const TrustDomain& domain,
                                                              const AuthoritiesAndBundle& state) {
  if (!state.bundle.has_value() || state.bundle->roots_der.empty()) {
    return absl::DataLossError("the store holds authorities and no trust bundle");
  }
  auto bundle = std::make_shared<TrustBundle>();
  bundle->trust_domain = domain;
  bundle->sequence_number = state.bundle->sequence_number;
  bundle->published_at = state.bundle->published_at;
  for (const std::string& der : state.bundle->roots_der) {
    auto root = Certificate::Parse(Der(der));
    if (!root.ok()) {
      return absl::DataLossError(absl::StrCat("trust bundle ", bundle->sequence_number, ": ", root.status().message()));
    }
    bundle->roots.push_back(*std::move(root));
  }
  for (const std::string& der : state.bundle->jwt_keys_der) {
    MESHCA_ASSIGN_OR_RETURN(JwtKey key, TrustedJwtKey(state, der));
    bundle->jwt_keys.push_back(std::move(key));
  }
  return std::shared_ptr<const TrustBundle>(std::move(bundle));
}

bool Trusts(const TrustBundle& bundle, absl::string_view root_id) {
  return std::any_of(bundle.roots.begin(), bundle.roots.end(),
                     [&](const Certificate& root) { return root.spki_sha256_hex() == root_id; });
}

// Beliefs about rows that whoever reads a snapshot builds on.
absl::Status CheckConsistent(const std::vector<SigningAuthority>& authorities, const TrustBundle& bundle) {
  for (AuthorityRole role : {AuthorityRole::kRoot, AuthorityRole::kIssuing}) {
    const SigningAuthority* active = nullptr;
    for (const SigningAuthority& authority : authorities) {
      if (authority.role != role || authority.state != AuthorityState::kActive) continue;
      if (active != nullptr) {
        return absl::DataLossError(absl::StrCat("two ", AuthorityRoleName(role),
                                                " authorities are active: ", active->id, " and ", authority.id));
      }
      active = &authority;
    }
    if (active == nullptr) continue;
    if (role == AuthorityRole::kRoot && bundle.roots.front().spki_sha256_hex() != active->id) {
      return absl::DataLossError(
          absl::StrCat("active root ", active->id, " is not the first of trust bundle ", bundle.sequence_number));
    }
    if (role == AuthorityRole::kIssuing && !Trusts(bundle, active->root_id)) {
      return absl::DataLossError(absl::StrCat("active issuing authority ", active->id, " stands under root ",
                                              active->root_id, ", which trust bundle ", bundle.sequence_number,
                                              " does not hold"));
    }
  }
  return absl::OkStatus();
}

bool Holds(const TrustBundle& bundle, const std::string& key_id) {
  return std::any_of(bundle.jwt_keys.begin(), bundle.jwt_keys.end(),
                     [&key_id](const JwtKey& key) { return key.key_id == key_id; });
}

// The keys of JWT-SVIDs, and which of them signs.
absl::Status AddJwtAuthorities(const AuthoritiesAndBundle& state, const Signers& signers, AuthoritySnapshot& snapshot) {
  const JwtAuthority* active = nullptr;
  snapshot.jwt_authorities.reserve(state.jwt_authorities.size());
  for (const StoredJwtAuthority& row : state.jwt_authorities) {
    MESHCA_ASSIGN_OR_RETURN(snapshot.jwt_authorities.emplace_back(), ToJwtAuthority(row));
    if (row.state != AuthorityState::kActive) continue;
    if (active != nullptr) {
      return absl::DataLossError(absl::StrCat("two JWT keys are active: ", active->key.key_id, " and ", row.key_id));
    }
    active = &snapshot.jwt_authorities.back();
  }
  const bool is_opened = active != nullptr && signers.jwt != nullptr && signers.jwt->key_id == active->key.key_id;
  if (is_opened && Holds(*snapshot.bundle, active->key.key_id)) {
    snapshot.jwt_signer = signers.jwt;
  } else {
    snapshot.why_no_jwt =
        signers.why_no_jwt.empty() ? "no key of JWT-SVIDs is active and published" : signers.why_no_jwt;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const AuthoritySnapshot>> BuildSnapshot(const TrustDomain& domain,
                                                                       const AuthoritiesAndBundle& state,
                                                                       const Signers& signers,
                                                                       std::optional<UnrecordedGrace> unrecorded) {
  auto snapshot = std::make_shared<AuthoritySnapshot>();
  snapshot->revision = state.revision;
  MESHCA_ASSIGN_OR_RETURN(snapshot->bundle, MakeBundle(domain, state));
  snapshot->roots_pem = snapshot->bundle->ToPem();
  snapshot->rotation = state.rotation;
  snapshot->unrecorded = std::move(unrecorded);
  for (const StoredAuthority& row : state.authorities) {
    MESHCA_ASSIGN_OR_RETURN(SigningAuthority authority, ToAuthority(row));
    snapshot->authorities.push_back(std::move(authority));
  }
  MESHCA_RETURN_IF_ERROR(CheckConsistent(snapshot->authorities, *snapshot->bundle));
  MESHCA_RETURN_IF_ERROR(AddJwtAuthorities(state, signers, *snapshot));
  if (signers.issuing_id.empty() || signers.key == nullptr) return snapshot;
  for (const SigningAuthority& authority : snapshot->authorities) {
    if (authority.id != signers.issuing_id) continue;
    auto issuing = std::make_shared<SigningAuthority>(authority);
    issuing->key = signers.key;
    snapshot->chain_tail.push_back(issuing->certificate);
    for (const Certificate& next : issuing->upstream) snapshot->chain_tail.push_back(next);
    for (const Certificate& next : snapshot->chain_tail) snapshot->chain_tail_pem.push_back(next.pem().text());
    snapshot->issuing = std::move(issuing);
    break;
  }
  return snapshot;
}

}  // namespace meshca
