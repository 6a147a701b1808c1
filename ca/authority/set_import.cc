#include "ca/authority/set_import.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/exported_authority.h"
#include "ca/authority/plugged_in_ca.h"
#include "ca/authority/retire_not_before.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status SetImport::Import(const SetFiles& files, const std::string& actor, const ImportOptions& options) {
  const std::string& place = files.place();
  const absl::Time now = clock_.clock().Now();
  MESHCA_RETURN_IF_ERROR(ledger_.Reload());
  MESHCA_ASSIGN_OR_RETURN(AuthoritySet set, LoadPluggedInSet(ledger_.trust_domain(), files, now));
  const std::string left_out = adoption_.LeaveOutLostRoots(set);
  if (!adoption_.IsActive(set)) {
    MESHCA_RETURN_IF_ERROR(TakeSet(set, place, actor, options, now));
  }
  if (options.renew_unrecorded) {
    // Its end must not move with a clock that is ahead.
    MESHCA_RETURN_IF_ERROR(grace_.Begin({set.keyed().spki_sha256_hex()},
                                        {actor, absl::StrCat("import ", place), clock_.clock().LikelyNow()}));
  }
  if (!left_out.empty()) {
    LogWarning("the imported CA lists roots that were retired or tainted here; they stay untrusted",
               {{"from", place}, {"roots", left_out}});
  }
  return absl::OkStatus();
}

absl::Status SetImport::TakeSet(const AuthoritySet& set, const std::string& place, const std::string& actor,
                                const ImportOptions& options, absl::Time now) {
  const std::string root_id = set.root.spki_sha256_hex();
  const StoredAuthority* root = FindActive(ledger_.state(), AuthorityRole::kRoot);
  const bool new_root = root != nullptr && root->id != root_id;
  // Whether anything lives under the present root is asked of the clock.
  if (const ClockLook look = clock_.Judge(); new_root && look.verdict != ClockVerdict::kSteady) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat("import of a new root: ", look.finding, "; then import again")),
        "CLOCK_UNSTEADY");
  }
  MESHCA_ASSIGN_OR_RETURN(const uint64_t others, CountOutside(root_id, options.own_leaves, now));
  const RootRotation* running = RunningRotation(ledger_.state());
  if (new_root && running != nullptr) {
    // Imported again, or as an answer that was lost: the rotation leads there.
    if (running->new_root_id == root_id && !options.force) return absl::OkStatus();
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          "rotation ", running->number,
                          " runs: import when `meshca root status` says done, or `meshca root abort` it first")),
                      "ROTATION_RUNS");
  }
  std::string detail = absl::StrCat("import ", place);
  // An inventory that lacks records proves nothing by having none.
  MESHCA_ASSIGN_OR_RETURN(const bool unrecorded, MayLiveUnrecordedOutside(root_id, now));
  if (new_root && (others > 0 || unrecorded) && !options.force) {
    absl::StrAppend(&detail, ": rotates to it, because ",
                    others > 0 ? absl::StrCat(others, " certificates live under the present root")
                               : "certificates without a record may live under the present root");
    return adoption_.RotateTo(set, place, KeyPlace::kInKeyStore, {actor, detail, now});
  }
  if (new_root && others > 0) {
    absl::StrAppend(&detail, ", forced with ", others, " certificates under the root before it");
  } else if (new_root && unrecorded) {
    absl::StrAppend(&detail, ", forced though certificates without a record may live under the root before it");
  }
  if (new_root && others == 0 && !unrecorded) {
    // What the old root signed until this commit was signed in good faith, so it is counted once more, by the commit
    // itself.
    const absl::Status alone =
        adoption_.AdoptAlone(set, KeyPlace::kInKeyStore, options.own_leaves.spiffe_id,
                             {actor, absl::StrCat(detail, ": nothing used the root before"), now});
    if (ReasonOf(alone) != kLeavesLive) return Annotate(alone, place);
    // Whoever got one since the count holds the bundle of before: the new root signs once they have it.
    if (!options.force) {
      absl::StrAppend(&detail, ": rotates to it, because certificates were signed under the present root meanwhile");
      return adoption_.RotateTo(set, place, KeyPlace::kInKeyStore, {actor, detail, now});
    }
    absl::StrAppend(&detail, ", forced though certificates were signed under the root before it meanwhile");
  }
  return Annotate(adoption_.Adopt(set, KeyPlace::kInKeyStore, {actor, detail, now}), place);
}

absl::StatusOr<uint64_t> SetImport::CountOutside(absl::string_view root_id, const OwnLeaves& own,
                                                 absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const auto live, ledger_.store().CountLiveLeaves(now));
  uint64_t others = 0;
  for (const auto& [id, count] : live) {
    const StoredAuthority* issuer = FindById(ledger_.state(), id);
    if (issuer != nullptr && issuer->root_id == root_id) continue;
    // For each authority alone: an own certificate under the new root is none of those counted here.
    const auto own_of_it = own.by_authority.find(id);
    others += count - (own_of_it == own.by_authority.end() ? 0 : std::min(count, own_of_it->second));
  }
  return others + CountExportedOutside(ledger_.state(), root_id);
}

absl::StatusOr<bool> SetImport::MayLiveUnrecordedOutside(absl::string_view root_id, absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const absl::Time not_before, ReadRetireNotBefore(ledger_.store()));
  if (now < not_before) return true;
  const std::optional<UnrecordedGrace> grace = grace_.Remaining();
  return grace.has_value() &&
         std::any_of(grace->authority_ids.begin(), grace->authority_ids.end(), [&](const std::string& id) {
           const StoredAuthority* authority = FindById(ledger_.state(), id);
           return authority != nullptr && authority->root_id != root_id;
         });
}

}  // namespace meshca
