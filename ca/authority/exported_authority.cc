#include "ca/authority/exported_authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

absl::Status Refused(absl::string_view why, absl::string_view reason) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("export: ", why)), reason);
}

absl::Status LifetimeIsWrong(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("lifetime: ", what)), "LIFETIME_INVALID");
}

// The active root, if an authority may be made under it for somebody else.
absl::StatusOr<const StoredAuthority*> RootToExportUnder(const AuthoritiesAndBundle& state) {
  const StoredAuthority* root = FindActive(state, AuthorityRole::kRoot);
  if (root == nullptr || !state.bundle.has_value()) {
    return absl::FailedPreconditionError("export: no root is active: `meshca check` says why");
  }
  // Half of the time it would be under the root that goes, and hold that one up.
  if (const RootRotation* running = RunningRotation(state); running != nullptr) {
    return Refused(absl::StrCat("rotation ", running->number,
                                " runs: export when `meshca root status` says done, or `meshca root abort` it first"),
                   "ROTATION_RUNS");
  }
  const std::string name = absl::StrCat("root ", root->id.substr(0, 16));
  if (root->tainted) {
    return Refused(absl::StrCat(name, " is tainted, its key is taken for stolen: `meshca root rotate` first"),
                   "ROOT_TAINTED");
  }
  if (root->key_reference.empty()) {
    return Refused(
        absl::StrCat(name,
                     " came here with an issuing authority under it and without its own key, so no other one can be "
                     "made here: let whoever holds that key make one, or use the set that was brought here"),
        "ROOT_KEY_ELSEWHERE");
  }
  return root;
}

// Until when the authority is to live. What it signs elsewhere must have as much room as what is signed here.
absl::StatusOr<absl::Duration> LifetimeFor(const ExportRequest& request, const AuthorityOptions& options,
                                           absl::Time root_ends, absl::Time now) {
  if (request.lifetime == absl::ZeroDuration()) return std::min(options.issuing_lifetime, root_ends - now);
  const absl::Duration least = 2 * options.leaf_lifetime_max;
  if (request.lifetime < least) {
    return LifetimeIsWrong(absl::StrCat(absl::FormatDuration(request.lifetime),
                                        " is less than twice the longest leaf lifetime: give ",
                                        absl::FormatDuration(least), " or more"));
  }
  if (now + request.lifetime > root_ends) {
    return LifetimeIsWrong(absl::StrCat(absl::FormatDuration(request.lifetime),
                                        " is longer than the root lives, until ", UtcText(root_ends),
                                        ": give less, or none"));
  }
  return request.lifetime;
}

}  // namespace

uint64_t CountExportedOutside(const AuthoritiesAndBundle& state, absl::string_view root_id) {
  return static_cast<uint64_t>(
      std::count_if(state.authorities.begin(), state.authorities.end(), [&](const StoredAuthority& row) {
        return WasExported(row) && row.root_id != root_id && row.state != AuthorityState::kRetired;
      }));
}

absl::StatusOr<StoredAuthority> MakeExported(const AuthorityMaker& maker, const AuthorityOptions& options,
                                             const AuthoritiesAndBundle& state, const ExportRequest& request,
                                             absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const StoredAuthority* root, RootToExportUnder(state));
  const std::string id = request.key.sha256_hex();
  if (FindById(state, id) != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("export: an authority with the key ", id.substr(0, 16), " is known here: make a new key"));
  }
  MESHCA_ASSIGN_OR_RETURN(const SigningAuthority parent, ToAuthority(*root));
  MESHCA_ASSIGN_OR_RETURN(const absl::Duration lifetime,
                          LifetimeFor(request, options, parent.certificate.validity().not_after, now));
  MESHCA_ASSIGN_OR_RETURN(const Certificate certificate, maker.CertifyIssuing(request.key, *root, now, lifetime));
  StoredAuthority row = MakeRow(AuthorityRole::kIssuing, AuthorityState::kOld, certificate, {}, root->id, now);
  row.key_reference = std::string(kExportedKey);
  row.exported = true;
  return row;
}

AuthorityChange AddExported(const AuthoritiesAndBundle& state, const TrustDomain& domain, StoredAuthority row,
                            const ChangeReason& reason) {
  AuthorityChange change = StartChange(state, domain);
  change.audit.push_back(MakeAudit("authority.export", row.id, reason));
  change.authorities.push_back(std::move(row));
  return change;
}

absl::StatusOr<ExportedSet> ToExportedSet(const AuthoritiesAndBundle& state, const StoredAuthority& row) {
  ExportedSet set;
  MESHCA_ASSIGN_OR_RETURN(set.authority, ToAuthority(row));
  for (const std::string& der : state.bundle->roots_der) {
    absl::StatusOr<Certificate> root = Certificate::Parse(Der(der));
    if (!root.ok()) return absl::DataLossError(absl::StrCat("stored root: ", root.status().message()));
    set.roots.push_back(*std::move(root));
  }
  return set;
}

}  // namespace meshca
