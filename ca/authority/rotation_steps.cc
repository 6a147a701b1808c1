#include "ca/authority/rotation_steps.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/next_issuing.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

using Act = RotationDecision::Act;

constexpr size_t kNamedInRecord = 10;

absl::string_view ForcedActName(Act act) {
  switch (act) {
    case Act::kActivate: return "activation";
    case Act::kRetire: return "retirement";
    default: return "the end";
  }
}

// What a forced step broke, in one line for the record.
std::string ForcedText(absl::string_view what, const RotationEvidence& evidence, absl::string_view forced_by,
                       absl::Time now) {
  std::string text =
      absl::StrCat(forced_by, " forced ", what, " at ", UtcText(now), " with ", BehindText(evidence), " behind:");
  for (size_t i = 0; i < evidence.laggards.size() && i < kNamedInRecord; ++i) {
    const Laggard& laggard = evidence.laggards[i];
    absl::StrAppend(&text, i == 0 ? " " : ", ", laggard.spiffe_id.empty() ? "(no identity)" : laggard.spiffe_id,
                    laggard.node.empty() ? "" : " on ", laggard.node);
    if (!laggard.instance.empty()) absl::StrAppend(&text, " (", laggard.instance, ")");
  }
  if (evidence.laggards.size() > kNamedInRecord) absl::StrAppend(&text, " and others");
  return text;
}

}  // namespace

absl::Status TakeRotationStep(AuthorityManager& authorities, Act act, absl::string_view forced_by,
                              const RotationView& view, const std::string& actor) {
  const absl::Time now = view.facts.now;
  const TrustDomain& domain = authorities.options().trust_domain;
  const std::string forced = forced_by.empty() ? "" : ForcedText(ForcedActName(act), view.evidence, forced_by, now);
  const std::string judged = absl::StrCat(view.evidence.subscribers, " subscribers judged, none behind");
  const ChangeReason reason = {actor, forced.empty() ? judged : forced, now};
  const LeafChains chains =
      MayHoldOldRootAlone(view.facts, view.evidence) ? LeafChains::kWithCross : LeafChains::kWithoutCross;
  std::optional<NextIssuing> next;
  if (act == Act::kActivate) {
    MESHCA_ASSIGN_OR_RETURN(
        next, NextIssuing::Prepare(authorities.maker(), *authorities.Current(), view.facts.rotation.new_root_id));
  }
  return authorities.Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
    switch (act) {
      case Act::kPublish: return PublishRotation(state, domain, {actor, "the bundle holds both roots", now});
      case Act::kActivate: {
        MESHCA_ASSIGN_OR_RETURN(StoredAuthority issuing, next->RowFor(state, now));
        return ActivateRotation(state, domain, std::move(issuing), chains, forced, reason);
      }
      case Act::kDrain: return DrainRotation(state, domain, {actor, "every key held here was replaced", now});
      case Act::kRetire: return RetireRotation(state, domain, forced, reason);
      case Act::kFinish: return FinishRotation(state, domain, forced, reason);
      case Act::kWait: break;
    }
    return absl::InternalError("a rotation that waits has nothing to commit");
  });
}

}  // namespace meshca
