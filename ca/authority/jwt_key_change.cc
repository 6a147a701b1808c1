#include "ca/authority/jwt_key_change.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/jwt_authority_rows.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status StateIsWrong(absl::string_view key_id, absl::string_view sentence) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("JWT key ", key_id, " ", sentence)), "JWT_KEY_STATE");
}

// The rows as they will be when `change` was committed, in the order in which they were made.
std::vector<StoredJwtAuthority> RowsAfter(const AuthoritiesAndBundle& state, const AuthorityChange& change) {
  std::vector<StoredJwtAuthority> rows = state.jwt_authorities;
  for (const StoredJwtAuthority& changed : change.jwt_authorities) {
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const StoredJwtAuthority& each) { return each.key_id == changed.key_id; });
    if (row == rows.end()) {
      rows.push_back(changed);
    } else {
      *row = changed;
    }
  }
  return rows;
}

// Adds `row` to `change`, in place of what the change held of it.
void PutRow(StoredJwtAuthority row, AuthorityChange& change) {
  std::erase_if(change.jwt_authorities, [&](const StoredJwtAuthority& each) { return each.key_id == row.key_id; });
  change.jwt_authorities.push_back(std::move(row));
}

std::vector<std::string> TrustedKeys(const std::vector<StoredJwtAuthority>& rows) {
  std::vector<std::string> keys;
  for (const StoredJwtAuthority& row : rows) {
    if (row.state != AuthorityState::kRetired) keys.push_back(row.public_key_der);
  }
  return keys;
}

// Lets the bundle hold what the rows say. A bundle that stands in `change` already gets them, else one is added if that
// is news.
void PublishKeys(const AuthoritiesAndBundle& state, absl::Time now, AuthorityChange& change) {
  const std::vector<StoredJwtAuthority> rows = RowsAfter(state, change);
  std::vector<std::string> keys = TrustedKeys(rows);
  if (!change.bundle.has_value()) {
    if (!state.bundle.has_value() || state.bundle->jwt_keys_der == keys) return;
    change.bundle = state.bundle;
    ++change.bundle->sequence_number;
    change.bundle->published_at = now;
  }
  change.bundle->jwt_keys_der = std::move(keys);
  for (const StoredJwtAuthority& row : rows) {
    if (row.state == AuthorityState::kRetired || row.published_sequence != 0) continue;
    StoredJwtAuthority published = row;
    published.published_sequence = change.bundle->sequence_number;
    PutRow(std::move(published), change);
  }
}

StoredJwtAuthority Retired(StoredJwtAuthority row, absl::Time now) {
  row.state = AuthorityState::kRetired;
  row.retired_at = now;
  // What is retired never signs again: its private key would only be something to steal.
  row.key_reference.clear();
  row.sealed_key.clear();
  return row;
}

// Lets `row` sign, in place of the one that does.
void Activate(const AuthoritiesAndBundle& state, StoredJwtAuthority row, const ChangeReason& reason,
              AuthorityChange& change) {
  const std::vector<StoredJwtAuthority> rows = RowsAfter(state, change);
  if (const StoredJwtAuthority* const present = FindActiveJwt(rows); present != nullptr) {
    StoredJwtAuthority old = *present;
    old.state = AuthorityState::kOld;
    old.replaced_at = reason.now;
    PutRow(std::move(old), change);
  }
  change.audit.push_back(MakeAudit("jwt.activate", row.key_id, reason));
  row.state = AuthorityState::kActive;
  row.activated_at = reason.now;
  PutRow(std::move(row), change);
}

}  // namespace

absl::StatusOr<AuthorityChange> PublishJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              StoredJwtAuthority row, const ChangeReason& reason) {
  if (const StoredJwtAuthority* const prepared = FindPreparedJwt(state.jwt_authorities); prepared != nullptr) {
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat("the next JWT key, ", prepared->key_id,
                                       ", is published already: it signs when everybody "
                                       "who takes JWT keys holds it, and `meshca jwt keys` shows whom it waits for")),
                      "JWT_ROTATION_RUNS");
  }
  AuthorityChange change = StartChange(state, domain);
  change.audit.push_back(MakeAudit("jwt.publish", row.key_id, reason));
  row.state = AuthorityState::kPrepared;
  PutRow(std::move(row), change);
  PublishKeys(state, reason.now, change);
  return change;
}

absl::StatusOr<AuthorityChange> ActivateJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               absl::string_view key_id, const ChangeReason& reason) {
  const StoredJwtAuthority* const row = FindJwtKey(state.jwt_authorities, key_id);
  if (row == nullptr || row->state != AuthorityState::kPrepared)
    return StateIsWrong(key_id, "is not prepared any more");
  AuthorityChange change = StartChange(state, domain);
  Activate(state, *row, reason, change);
  PublishKeys(state, reason.now, change);
  return change;
}

absl::StatusOr<AuthorityChange> RetireJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                             absl::string_view key_id, const ChangeReason& reason) {
  const StoredJwtAuthority* const row = FindJwtKey(state.jwt_authorities, key_id);
  if (row == nullptr || row->state != AuthorityState::kOld) return StateIsWrong(key_id, "is not old, so it stays");
  AuthorityChange change = StartChange(state, domain);
  change.audit.push_back(MakeAudit("jwt.retire", key_id, reason));
  PutRow(Retired(*row, reason.now), change);
  PublishKeys(state, reason.now, change);
  return change;
}

bool NeedsSuccessor(const AuthoritiesAndBundle& state, absl::string_view key_id) {
  const StoredJwtAuthority* const active = FindActiveJwt(state.jwt_authorities);
  return active != nullptr && active->key_id == key_id && FindPreparedJwt(state.jwt_authorities) == nullptr;
}

absl::StatusOr<AuthorityChange> TaintJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                            absl::string_view key_id, std::optional<StoredJwtAuthority> next,
                                            const ChangeReason& reason) {
  const StoredJwtAuthority* const row = FindJwtKey(state.jwt_authorities, key_id);
  if (row == nullptr) return absl::NotFoundError(absl::StrCat("no JWT key ", key_id, ": `meshca jwt keys` shows them"));
  if (row->state == AuthorityState::kRetired) {
    return StateIsWrong(
        key_id, row->tainted ? "is tainted already: nothing trusts it" : "is retired already: nothing trusts it");
  }
  if (NeedsSuccessor(state, key_id) && !next.has_value()) {
    return absl::AbortedError("the key that signs JWT-SVIDs has just changed: look at `meshca jwt keys` and try again");
  }
  AuthorityChange change = StartChange(state, domain);
  change.audit.push_back(MakeAudit("jwt.taint", key_id, reason));
  StoredJwtAuthority tainted = Retired(*row, reason.now);
  tainted.tainted = true;
  PutRow(std::move(tainted), change);
  if (row->state == AuthorityState::kActive) {
    const StoredJwtAuthority* const prepared = FindPreparedJwt(state.jwt_authorities);
    const ChangeReason instead = {reason.actor, absl::StrCat("in place of the tainted ", key_id), reason.now};
    Activate(state, prepared != nullptr ? *prepared : *std::move(next), instead, change);
  }
  PublishKeys(state, reason.now, change);
  return change;
}

std::string JwtKeysFault(const AuthoritiesAndBundle& state) {
  if (!state.bundle.has_value()) return "";
  if (FindActiveJwt(state.jwt_authorities) == nullptr) return "no key signs JWT-SVIDs";
  if (state.bundle->jwt_keys_der != TrustedKeys(state.jwt_authorities)) {
    return absl::StrCat("bundle ", state.bundle->sequence_number, " lacks keys of JWT-SVIDs");
  }
  return "";
}

bool NeedsFirstJwtKey(const AuthoritiesAndBundle& state) {
  return FindActiveJwt(state.jwt_authorities) == nullptr && FindPreparedJwt(state.jwt_authorities) == nullptr;
}

absl::StatusOr<AuthorityChange> MendJwtKeys(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                            std::optional<StoredJwtAuthority> next, const ChangeReason& reason) {
  if (NeedsFirstJwtKey(state) && !next.has_value())
    return absl::AbortedError("the keys of JWT-SVIDs have just changed");
  AuthorityChange change = StartChange(state, domain);
  change.audit.push_back(MakeAudit("jwt.mend", "", reason));
  // What was left out of a bundle has to reach everybody anew.
  for (const StoredJwtAuthority& row : state.jwt_authorities) {
    if (row.state == AuthorityState::kRetired || !state.bundle.has_value()) continue;
    const std::vector<std::string>& held = state.bundle->jwt_keys_der;
    if (std::find(held.begin(), held.end(), row.public_key_der) != held.end()) continue;
    StoredJwtAuthority anew = row;
    anew.published_sequence = 0;
    PutRow(std::move(anew), change);
  }
  if (FindActiveJwt(state.jwt_authorities) == nullptr) {
    const std::vector<StoredJwtAuthority> rows = RowsAfter(state, change);
    const StoredJwtAuthority* const prepared = FindPreparedJwt(rows);
    Activate(state, prepared != nullptr ? *prepared : *std::move(next), reason, change);
  }
  PublishKeys(state, reason.now, change);
  return change;
}

void AddFirstJwtKey(StoredJwtAuthority row, const ChangeReason& reason, AuthorityChange& change) {
  const AuthoritiesAndBundle nothing;
  Activate(nothing, std::move(row), reason, change);
  PublishKeys(nothing, reason.now, change);
}

void RestartJwtKeys(const AuthoritiesAndBundle& state, std::optional<StoredJwtAuthority> next,
                    const ChangeReason& reason, AuthorityChange& change) {
  if (FindActiveJwt(state.jwt_authorities) == nullptr) return;
  const StoredJwtAuthority* const prepared = FindPreparedJwt(state.jwt_authorities);
  if (prepared == nullptr && !next.has_value()) return;
  StoredJwtAuthority row = prepared != nullptr ? *prepared : *std::move(next);
  if (prepared == nullptr) change.audit.push_back(MakeAudit("jwt.publish", row.key_id, reason));
  row.published_sequence = 0;
  PutRow(std::move(row), change);
  PublishKeys(state, reason.now, change);
}

}  // namespace meshca
