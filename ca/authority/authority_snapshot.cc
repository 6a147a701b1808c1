#include "ca/authority/authority_snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

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

}  // namespace

absl::StatusOr<std::shared_ptr<const AuthoritySnapshot>> BuildSnapshot(const TrustDomain& domain,
                                                                       const AuthoritiesAndBundle& state,
                                                                       absl::string_view issuing_id,
                                                                       std::shared_ptr<const SigningKey> key,
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
  if (issuing_id.empty() || key == nullptr) return snapshot;
  for (const SigningAuthority& authority : snapshot->authorities) {
    if (authority.id != issuing_id) continue;
    auto issuing = std::make_shared<SigningAuthority>(authority);
    issuing->key = std::move(key);
    snapshot->chain_tail.push_back(issuing->certificate);
    for (const Certificate& next : issuing->upstream) snapshot->chain_tail.push_back(next);
    for (const Certificate& next : snapshot->chain_tail) snapshot->chain_tail_pem.push_back(next.pem().text());
    snapshot->issuing = std::move(issuing);
    break;
  }
  return snapshot;
}

}  // namespace meshca
