#include "ca/authority/rotation_change.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"
#include "ca/authority/cross_certificate.h"
#include "ca/authority/exported_authority.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status RefuseStep(const AuthoritiesAndBundle& state, absl::string_view step) {
  const RootRotation* rotation = RunningRotation(state);
  if (rotation == nullptr) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat("no rotation runs, so there is nothing to ", step,
                                                                 ": begin one with `meshca root rotate`")),
                      "ROTATION_NONE");
  }
  return WithReason(absl::FailedPreconditionError(absl::StrCat("rotation ", rotation->number, " is at ",
                                                               RotationStepName(rotation->step), ": it cannot ", step,
                                                               " now; `meshca root status` shows what it waits for")),
                    "ROTATION_STEP");
}

absl::Status NewRootIsMissing() {
  return absl::DataLossError(
      "the new root of the rotation is not in the database: restore a backup (meshca db restore)");
}

// A change that moves the rotation that runs to `step`; `detail` and actor for the audit log.
AuthorityChange MoveToStep(const AuthoritiesAndBundle& state, const TrustDomain& domain, RotationStep step,
                           absl::string_view action, const ChangeReason& reason) {
  AuthorityChange change = StartChange(state, domain);
  change.rotation = *RunningRotation(state);
  change.rotation->step = step;
  change.rotation->step_at = reason.now;
  change.audit.push_back(MakeAudit(action, change.rotation->new_root_id, reason));
  return change;
}

void RememberForced(const std::string& forced, AuthorityChange& change) {
  if (forced.empty()) return;
  absl::StrAppend(&change.rotation->forced, change.rotation->forced.empty() ? "" : "; ", forced);
}

bool IsAt(const AuthoritiesAndBundle& state, std::initializer_list<RotationStep> steps) {
  const RootRotation* rotation = RunningRotation(state);
  return rotation != nullptr && std::find(steps.begin(), steps.end(), rotation->step) != steps.end();
}

// The root `id` and all under it that is not retired: its key is taken for stolen, and a stolen root can make issuing
// authorities of its own.
void TaintUnder(const AuthoritiesAndBundle& state, const std::string& id, const ChangeReason& reason,
                AuthorityChange& change) {
  for (StoredAuthority row : state.authorities) {
    if (row.root_id != id || row.tainted || row.state == AuthorityState::kRetired) continue;
    row.tainted = true;
    change.audit.push_back(MakeAudit("authority.taint", row.id, reason));
    change.authorities.push_back(std::move(row));
  }
}

absl::Time DeadlineOf(const RotationOptions& options) {
  return options.waits_for_silent ? RootRotation::WaitsForever() : options.deadline;
}

StoredAuthority Activated(StoredAuthority row, absl::Time now) {
  row.state = AuthorityState::kActive;
  row.activated_at = now;
  return row;
}

bool Contains(const std::vector<std::string>& roots, const std::string& der) {
  return std::find(roots.begin(), roots.end(), der) != roots.end();
}

// Whether a certificate of `root`'s key is among `roots`.
bool HoldsKeyOf(std::vector<std::string> roots, const StoredAuthority& root) {
  const size_t before = roots.size();
  RemoveRoot(roots, root);
  return roots.size() != before;
}

// `first` in front of the other trusted roots, in their order.
std::vector<std::string> RootsWithFirst(const AuthoritiesAndBundle& state, const std::string& first) {
  std::vector<std::string> roots = {first};
  for (const std::string& der : state.bundle->roots_der) AddUnique(roots, der);
  return roots;
}

// Everything changes hands at once: root `next` and `issuing` under it sign, what signed until now grows old.
void HandOver(const AuthoritiesAndBundle& state, const StoredAuthority& next, StoredAuthority issuing,
              const ChangeReason& reason, AuthorityChange& change) {
  Displace(state, issuing, AuthorityState::kOld, reason.now, change);
  Displace(state, next, AuthorityState::kOld, reason.now, change);
  change.authorities.push_back(Activated(next, reason.now));
  change.authorities.push_back(Activated(std::move(issuing), reason.now));
  PublishRoots(state, RootsWithFirst(state, next.chain_der.front()), reason.now, change);
}

}  // namespace

const RootRotation* RunningRotation(const AuthoritiesAndBundle& state) {
  return state.rotation.has_value() && !state.rotation->Ended() ? &*state.rotation : nullptr;
}

const StoredAuthority* UsableIssuing(const AuthoritiesAndBundle& state, const std::string& root_id, absl::Time now) {
  const StoredAuthority* newest = nullptr;
  for (const StoredAuthority& row : state.authorities) {
    if (row.role != AuthorityRole::kIssuing || row.root_id != root_id || row.tainted || row.key_reference.empty() ||
        row.key_reference == kExportedKey || row.state == AuthorityState::kRetired) {
      continue;
    }
    const absl::StatusOr<SigningAuthority> parsed = ToAuthority(row);
    if (!parsed.ok() || !parsed->certificate.validity().Contains(now)) continue;
    if (newest == nullptr || newest->created_at < row.created_at) newest = &row;
  }
  return newest;
}

absl::StatusOr<AuthorityChange> PrepareRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                NewRoot root, const RotationOptions& options,
                                                const ChangeReason& reason) {
  if (const RootRotation* running = RunningRotation(state); running != nullptr) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "rotation ", running->number, ", begun by ", running->actor, ", is at ", RotationStepName(running->step),
            ": one rotation at a time; `meshca root status` shows it, `meshca root abort` or `meshca root "
            "rollback` takes it back")),
        "ROTATION_RUNS");
  }
  const StoredAuthority* old = FindActive(state, AuthorityRole::kRoot);
  if (old == nullptr || !state.bundle.has_value()) {
    return absl::FailedPreconditionError("no root is active, so there is none to rotate: `meshca check` says why");
  }
  if (old->id == root.root.id) {
    return absl::FailedPreconditionError(absl::StrCat("root ", old->id, " is the active one already"));
  }
  AuthorityChange change = StartChange(state, domain);
  RootRotation rotation;
  rotation.number = state.rotation.has_value() ? state.rotation->number + 1 : 1;
  rotation.old_root_id = old->id;
  rotation.new_root_id = root.root.id;
  rotation.automatic = options.automatic;
  rotation.emergency = options.emergency;
  rotation.external_confirmed = options.external_confirmed;
  rotation.deadline = DeadlineOf(options);
  rotation.actor = reason.actor;
  rotation.started_at = reason.now;
  rotation.step_at = reason.now;
  change.rotation = std::move(rotation);
  change.audit.push_back(MakeAudit("root.prepare", root.root.id, reason));
  if (options.emergency) TaintUnder(state, old->id, reason, change);
  root.root.state = AuthorityState::kPrepared;
  change.authorities.push_back(std::move(root.root));
  if (root.issuing.has_value()) {
    root.issuing->state = AuthorityState::kPrepared;
    change.authorities.push_back(*std::move(root.issuing));
  }
  return change;
}

absl::StatusOr<AuthorityChange> PublishRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kPrepare})) return RefuseStep(state, "publish the new root");
  AuthorityChange change = MoveToStep(state, domain, RotationStep::kDistribute, "root.publish", reason);
  const StoredAuthority* next = FindById(state, change.rotation->new_root_id);
  if (next == nullptr) return NewRootIsMissing();
  std::vector<std::string> roots = state.bundle->roots_der;
  AddUnique(roots, next->chain_der.front());
  const bool was_trusted = Contains(state.bundle->roots_der, next->chain_der.front());
  PublishRoots(state, std::move(roots), reason.now, change);
  change.rotation->bundle_sequence =
      change.bundle.has_value() ? change.bundle->sequence_number : state.bundle->sequence_number;
  // The clock may have been set back since the rotation began: only a root that was trusted has the earlier time.
  const absl::Time started_at = change.rotation->started_at;
  change.rotation->published_at = was_trusted ? started_at - absl::Microseconds(1) : std::max(reason.now, started_at);
  return change;
}

absl::StatusOr<AuthorityChange> ActivateRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 StoredAuthority issuing, LeafChains chains, const std::string& forced,
                                                 const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kDistribute})) return RefuseStep(state, "activate the new root");
  AuthorityChange change = MoveToStep(state, domain, RotationStep::kReissue, "root.activate", reason);
  RememberForced(forced, change);
  const StoredAuthority* next = FindById(state, change.rotation->new_root_id);
  if (next == nullptr) return NewRootIsMissing();
  if (chains == LeafChains::kWithoutCross) issuing = WithoutCross(std::move(issuing), *next);
  HandOver(state, *next, std::move(issuing), reason, change);
  return change;
}

absl::StatusOr<AuthorityChange> DrainRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kReissue})) return RefuseStep(state, "drain the old root");
  return MoveToStep(state, domain, RotationStep::kDrain, "root.drain", reason);
}

absl::StatusOr<AuthorityChange> RetireRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& forced, const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kReissue, RotationStep::kDrain})) return RefuseStep(state, "retire the old root");
  AuthorityChange change = MoveToStep(state, domain, RotationStep::kRetire, "root.retire", reason);
  RememberForced(forced, change);
  const StoredAuthority* const found = FindById(state, change.rotation->new_root_id);
  if (found == nullptr) return NewRootIsMissing();
  const StoredAuthority& next = *found;
  std::vector<std::string> roots = state.bundle->roots_der;
  for (const StoredAuthority& row : state.authorities) {
    if (row.root_id == change.rotation->old_root_id) {
      if (row.role == AuthorityRole::kRoot) RemoveRoot(roots, row);
      if (row.state == AuthorityState::kRetired) continue;
      change.authorities.push_back(WithState(row, AuthorityState::kRetired, reason.now));
    } else if (row.root_id == next.id && IsCrossCertified(next)) {
      change.authorities.push_back(WithoutCross(row, next));
    }
  }
  PublishRoots(state, std::move(roots), reason.now, change);
  change.rotation->retire_sequence =
      change.bundle.has_value() ? change.bundle->sequence_number : state.bundle->sequence_number;
  return change;
}

absl::StatusOr<AuthorityChange> FinishRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& forced, const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kRetire})) return RefuseStep(state, "end");
  AuthorityChange change = MoveToStep(state, domain, RotationStep::kDone, "root.done", reason);
  RememberForced(forced, change);
  return change;
}

absl::StatusOr<AuthorityChange> AbortRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kPrepare, RotationStep::kDistribute})) return RefuseStep(state, "be aborted");
  const RootRotation& rotation = *RunningRotation(state);
  AuthorityChange change = StartChange(state, domain);
  change.forgotten_rotation = rotation.number;
  const StoredAuthority* const next = FindById(state, rotation.new_root_id);
  const bool is_stolen = next != nullptr && next->tainted;
  const bool was_trusted = rotation.step == RotationStep::kPrepare || rotation.RootWasTrusted();
  std::vector<std::string> roots = state.bundle->roots_der;
  for (const StoredAuthority& row : state.authorities) {
    if (row.root_id != rotation.new_root_id || row.state == AuthorityState::kRetired) continue;
    const bool is_root = row.role == AuthorityRole::kRoot;
    if (is_stolen) {
      // Whatever it was before: who has its key could have anybody believed. Its row stays, so that it does not return.
      if (is_root) RemoveRoot(roots, row);
      change.authorities.push_back(WithState(row, AuthorityState::kRetired, reason.now));
    } else if (row.activated_at == absl::InfiniteFuture() && !WasExported(row)) {
      // That certificate alone is what the rotation added. Another one of its key was trusted before, and peers
      // elsewhere may be under it.
      if (is_root && !was_trusted) std::erase(roots, row.chain_der.front());
      change.forgotten_authorities.push_back(row.id);
    } else if (row.state != AuthorityState::kOld) {
      // It signed before, here or elsewhere. What it signed may be alive, and is as good as before the rotation.
      change.authorities.push_back(WithState(row, AuthorityState::kOld, reason.now));
    }
  }
  const bool stays = next != nullptr && HoldsKeyOf(roots, *next);
  ChangeReason told = reason;
  absl::StrAppend(&told.detail, stays ? "; it stays trusted, as before the rotation" : "; it is trusted no more");
  change.audit.push_back(MakeAudit("root.abort", rotation.new_root_id, told));
  PublishRoots(state, std::move(roots), reason.now, change);
  return change;
}

absl::StatusOr<AuthorityChange> RollBackRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 StoredAuthority issuing, const ChangeReason& reason) {
  if (!IsAt(state, {RotationStep::kReissue, RotationStep::kDrain})) return RefuseStep(state, "be rolled back");
  const StoredAuthority* back = FindById(state, RunningRotation(state)->old_root_id);
  if (back == nullptr) return absl::DataLossError("the old root of the rotation is not in the database");
  if (back->tainted) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat("the old root ", back->id.substr(0, 16),
                                                   " is tainted: it must not sign again; let the rotation go on")),
        "ROTATION_UNSAFE");
  }
  AuthorityChange change = MoveToStep(state, domain, RotationStep::kReissue, "root.rollback", reason);
  std::swap(change.rotation->old_root_id, change.rotation->new_root_id);
  change.rotation->rolled_back = !change.rotation->rolled_back;
  change.rotation->automatic = true;
  HandOver(state, StoredAuthority(*back), std::move(issuing), reason, change);
  return change;
}

absl::StatusOr<AuthorityChange> TakeOverRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 const RotationOptions& options, const ChangeReason& reason) {
  const RootRotation* running = RunningRotation(state);
  if (running == nullptr) return RefuseStep(state, "take over");
  const bool becomes_emergency = options.emergency && !running->emergency;
  // Later the root that is to go is no longer the one that signs: which of the two was stolen must be said by name.
  if (becomes_emergency && !IsAt(state, {RotationStep::kPrepare, RotationStep::kDistribute})) {
    return RefuseStep(state, "become an emergency");
  }
  AuthorityChange change = MoveToStep(state, domain, running->step, "root.take-over", reason);
  change.rotation->step_at = running->step_at;
  change.rotation->automatic = true;
  change.rotation->external_confirmed |= options.external_confirmed;
  change.rotation->deadline = std::min(running->deadline, DeadlineOf(options));
  if (becomes_emergency) {
    change.rotation->emergency = true;
    TaintUnder(state, running->old_root_id, reason, change);
  }
  return change;
}

absl::StatusOr<AuthorityChange> ConfirmExternal(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                const ChangeReason& reason) {
  const RootRotation* running = RunningRotation(state);
  if (running == nullptr) return RefuseStep(state, "confirm");
  AuthorityChange change = MoveToStep(state, domain, running->step, "root.confirm-external", reason);
  change.rotation->step_at = running->step_at;
  change.rotation->external_confirmed = true;
  return change;
}

absl::StatusOr<AuthorityChange> TaintAuthority(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& id, const ChangeReason& reason) {
  AuthorityChange change = StartChange(state, domain);
  for (StoredAuthority row : state.authorities) {
    // A stolen root can make issuing authorities of its own: none under it is better than it is.
    if ((row.id != id && row.root_id != id) || row.tainted) continue;
    row.tainted = true;
    change.audit.push_back(MakeAudit("authority.taint", row.id, reason));
    change.authorities.push_back(std::move(row));
  }
  if (change.authorities.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("authority ", id, " is tainted already"));
  }
  return change;
}

}  // namespace meshca
