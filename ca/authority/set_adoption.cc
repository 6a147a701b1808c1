#include "ca/authority/set_adoption.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"
#include "ca/authority/exported_authority.h"
#include "ca/authority/jwt_key_change.h"
#include "ca/authority/rotation_change.h"
#include "ca/authority/sealed_key_store.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

bool SameChain(const StoredAuthority& row, const AuthoritySet& set) {
  std::vector<std::string> chain = {set.issuing->der().bytes()};
  for (const Certificate& next : set.upstream) chain.push_back(next.der().bytes());
  return row.chain_der == chain;
}

absl::Status HeldByRotation(const std::string& folder, const std::string& root_id, const RootRotation& running) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat(
                        folder, ": its root ", root_id.substr(0, 16), " is not that of the rotation that runs, ",
                        running.new_root_id.substr(0, 16), ": the set is held until `meshca root status` says done")),
                    "ROOT_CHANGE_HELD");
}

absl::Status WasRetired(const StoredAuthority& root) {
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          "root ", root.id.substr(0, 16), " was retired ", OffsetText(root.retired_at),
          ": a retired root does not come back; give a set with another root, or with the one that is active")),
      "ROOT_RETIRED");
}

}  // namespace

bool SetAdoption::IsActive(const AuthoritySet& set) const {
  const AuthoritiesAndBundle& state = ledger_.state();
  const StoredAuthority* root = FindActive(state, AuthorityRole::kRoot);
  const StoredAuthority* issuing = FindActive(state, AuthorityRole::kIssuing);
  if (root == nullptr || issuing == nullptr || !state.bundle.has_value()) return false;
  if (root->chain_der.front() != set.root.der().bytes() || issuing->root_id != root->id) return false;
  for (const Certificate& more : set.more_roots) {
    const std::vector<std::string>& trusted = state.bundle->roots_der;
    if (std::find(trusted.begin(), trusted.end(), more.der().bytes()) == trusted.end()) return false;
  }
  // A root whose key is at hand keeps the issuing authority it has.
  if (!set.issuing.has_value()) return root->key_reference == set.key_reference || root->key_reference == kSealedKey;
  return SameChain(*issuing, set) &&
         (issuing->key_reference == set.key_reference || issuing->key_reference == kSealedKey);
}

std::string SetAdoption::LeaveOutLostRoots(AuthoritySet& set) const {
  std::string left_out;
  std::vector<Certificate> kept;
  kept.reserve(set.more_roots.size());
  for (Certificate& root : set.more_roots) {
    if (MayBeTrusted(ledger_.state(), root)) {
      kept.push_back(std::move(root));
    } else {
      absl::StrAppend(&left_out, left_out.empty() ? "" : ", ", root.spki_sha256_hex().substr(0, 16));
    }
  }
  set.more_roots = std::move(kept);
  return left_out;
}

absl::Status SetAdoption::Adopt(const AuthoritySet& set, KeyPlace place, const ChangeReason& reason) {
  MESHCA_ASSIGN_OR_RETURN(AuthorityRows rows, MakeRows(set, place, reason.now));
  return CommitRows(set, std::move(rows), std::nullopt, reason);
}

absl::Status SetAdoption::AdoptAlone(const AuthoritySet& set, KeyPlace place, const std::string& own_spiffe_id,
                                     const ChangeReason& reason) {
  MESHCA_ASSIGN_OR_RETURN(AuthorityRows rows, MakeRows(set, place, reason.now));
  LiveLeafLimit limit{reason.now, {}, own_spiffe_id};
  for (const StoredAuthority& row : ledger_.state().authorities) {
    if (row.root_id == rows.root.id) limit.not_counted.push_back(row.id);
  }
  return CommitRows(set, std::move(rows), std::move(limit), reason);
}

// With a limit the old roots are dropped.
absl::Status SetAdoption::CommitRows(const AuthoritySet& set, AuthorityRows rows,
                                     std::optional<LiveLeafLimit> drop_old_roots, const ChangeReason& reason) {
  std::string issuing_id = rows.issuing.id;
  AuthorityChange change =
      ChangeToRows(ledger_.state(), ledger_.trust_domain(), std::move(rows), drop_old_roots.has_value(), reason);
  change.live_leaf_limit = std::move(drop_old_roots);
  // A trust domain begins with all that it needs, so its first bundle is whole.
  if (!ledger_.state().bundle.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(StoredJwtAuthority first, maker_.MakeJwtKey(reason.now));
    AddFirstJwtKey(std::move(first), reason, change);
  }
  MESHCA_RETURN_IF_ERROR(ledger_.Commit(change));
  if (!set.issuing.has_value()) return absl::OkStatus();
  return active_key_.Take(set.key_pkcs8, std::move(issuing_id));
}

absl::Status SetAdoption::RotateTo(const AuthoritySet& set, const std::string& folder, KeyPlace place,
                                   const ChangeReason& reason) {
  const AuthoritiesAndBundle& state = ledger_.state();
  const std::string root_id = set.root.spki_sha256_hex();
  if (const RootRotation* running = RunningRotation(state); running != nullptr) {
    return running->new_root_id == root_id ? absl::OkStatus() : HeldByRotation(folder, root_id, *running);
  }
  absl::StatusOr<AuthorityRows> made = MakeRows(set, place, reason.now);
  if (!made.ok()) return Annotate(made.status(), folder);
  AuthorityRows& rows = *made;
  NewRoot next{std::move(rows.root), std::nullopt};
  if (set.issuing.has_value()) next.issuing = std::move(rows.issuing);
  MESHCA_RETURN_IF_ERROR(maker_.CrossCertify(state, reason.now, next));
  for (StoredAuthority* row : {&next.root, next.issuing.has_value() ? &*next.issuing : nullptr}) {
    if (row == nullptr) continue;
    const StoredAuthority* known = FindById(state, row->id);
    row->activated_at = known == nullptr ? absl::InfiniteFuture() : known->activated_at;
  }
  MESHCA_ASSIGN_OR_RETURN(const std::optional<StoredAuthority> kept, KeepIssuingKey());
  MESHCA_ASSIGN_OR_RETURN(AuthorityChange change,
                          PrepareRotation(state, ledger_.trust_domain(), std::move(next), RotationOptions(), reason));
  if (kept.has_value()) change.authorities.push_back(*kept);
  // The set's other roots are trusted at once, as those of a set with the present root are.
  std::vector<std::string> roots = state.bundle->roots_der;
  for (const std::string& der : rows.more_roots_der) AddUnique(roots, der);
  PublishRoots(state, std::move(roots), reason.now, change);
  return ledger_.Commit(change);
}

absl::StatusOr<AuthorityRows> SetAdoption::MakeRows(const AuthoritySet& set, KeyPlace place, absl::Time now) const {
  AuthorityRows rows;
  const std::string root_id = set.root.spki_sha256_hex();
  if (const StoredAuthority* known = FindById(ledger_.state(), root_id);
      known != nullptr && known->state == AuthorityState::kRetired) {
    return WasRetired(*known);
  }
  rows.root = MakeRow(AuthorityRole::kRoot, AuthorityState::kActive, set.root, {}, root_id, now);
  if (set.issuing.has_value()) {
    rows.issuing = MakeRow(AuthorityRole::kIssuing, AuthorityState::kActive, *set.issuing, set.upstream, root_id, now);
  }
  StoredAuthority& keyed = set.issuing.has_value() ? rows.issuing : rows.root;
  if (set.new_key != nullptr) {
    MESHCA_RETURN_IF_ERROR(PutKey(*set.new_key, keyed));
  } else if (place == KeyPlace::kInKeyStore) {
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> imported, maker_.keys().Import(set.key_pkcs8));
    MESHCA_RETURN_IF_ERROR(PutKey(*imported, keyed));
  } else {
    keyed.key_reference = set.key_reference;
  }
  for (StoredAuthority* row : {&rows.root, &rows.issuing}) {
    MESHCA_RETURN_IF_ERROR(ContinueKnown(*row));
  }
  if (!set.issuing.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> key, maker_.GenerateKey());
    MESHCA_ASSIGN_OR_RETURN(rows.issuing, maker_.MakeIssuing(*key, ledger_.state(), rows.root, now));
  }
  for (const Certificate& root : set.more_roots) rows.more_roots_der.push_back(root.der().bytes());
  return rows;
}

absl::Status SetAdoption::ContinueKnown(StoredAuthority& row) const {
  const StoredAuthority* known = FindById(ledger_.state(), row.id);
  if (known == nullptr) return absl::OkStatus();
  if (known->tainted) {
    return absl::FailedPreconditionError(
        absl::StrCat(AuthorityRoleName(row.role), " authority ", row.id, " is tainted: it may not sign again"));
  }
  row.created_at = known->created_at;
  row.exported = WasExported(*known);
  if (row.key_reference.empty() && known->chain_der.front() == row.chain_der.front()) {
    row.key_reference = known->key_reference;
    row.sealed_key = known->sealed_key;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<StoredAuthority>> SetAdoption::KeepIssuingKey() const {
  const StoredAuthority* issuing = FindActive(ledger_.state(), AuthorityRole::kIssuing);
  if (issuing == nullptr || issuing->key_reference == kSealedKey || active_key_.authority_id() != issuing->id) {
    return std::nullopt;
  }
  const auto* key = dynamic_cast<const SoftwareKey*>(active_key_.key().get());
  if (key == nullptr) return std::nullopt;
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> imported, maker_.keys().Import(key->ToPkcs8Der()));
  StoredAuthority kept = *issuing;
  MESHCA_RETURN_IF_ERROR(PutKey(*imported, kept));
  return kept;
}

}  // namespace meshca
