#include "ca/authority/rotation_commands.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/next_issuing.h"
#include "ca/authority/retire_not_before.h"
#include "ca/authority/rotation_change.h"
#include "ca/authority/rotation_steps.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

using Act = RotationDecision::Act;

constexpr uint64_t kNamedInRefusal = 20;
constexpr size_t kRefusalBytesMax = 2048;

// The first of those behind, a line each, for the operator who is refused; no more than an error's text has room for.
std::string LaggardLines(const RotationEvidence& evidence) {
  std::string text;
  uint64_t named = 0;
  for (const Laggard& laggard : evidence.laggards) {
    const std::string line = absl::StrCat("\n  ", LaggardText(laggard));
    if (named == kNamedInRefusal || (named > 0 && text.size() + line.size() > kRefusalBytesMax)) break;
    text += line;
    ++named;
  }
  const uint64_t behind = evidence.subscribers_behind + evidence.leaves_behind;
  if (behind > named) {
    absl::StrAppend(&text, "\n  and ", behind - named, " more; 'meshca root status' names more of them");
  }
  return text;
}

absl::Status NotSafeYet(Act act, const RotationEvidence& evidence) {
  const char* step = act == Act::kActivate ? "activating the new root" : "retiring the old root";
  const char* broken = act == Act::kActivate ? "would not trust what it signs" : "still depend on it";
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          step, " is not safe yet: ", BehindText(evidence), " ", broken, ":", LaggardLines(evidence),
          "\nwait for them (`meshca root status --watch`), evict who is gone (`meshca subscriber evict`), or --force: "
          "new connections of those named then fail, and it is recorded who forced it")),
      "ROTATION_UNSAFE");
}

absl::Status NoneRuns(Act act) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("no rotation runs, so there is no root to ",
                                                               act == Act::kActivate ? "activate" : "retire",
                                                               ": begin one with `meshca root rotate`")),
                    "ROTATION_NONE");
}

// Can the rotation that runs go on as the one that is asked for?
bool MayTakeOver(const RootRotation& running, const RotationOptions& options) {
  if (!options.automatic) return false;
  if (options.emergency == running.emergency) return !running.automatic;
  const bool before_activation = running.step == RotationStep::kPrepare || running.step == RotationStep::kDistribute;
  return options.emergency && before_activation;
}

bool IsAtStepOf(Act act, const RootRotation& rotation) {
  if (act == Act::kActivate) return rotation.step == RotationStep::kDistribute;
  return rotation.step == RotationStep::kReissue || rotation.step == RotationStep::kDrain;
}

}  // namespace

RotationCommands::RotationCommands(AuthorityManager& authorities, AuthorityStore& store, RotationWatch& watch,
                                   RotationReporter& reporter, std::function<void(absl::Duration)> sleep)
    : authorities_(authorities), store_(store), watch_(watch), reporter_(reporter), sleep_(std::move(sleep)) {}

absl::Status RotationCommands::Begin(const RotationOptions& options, const std::string& actor) {
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, watch_.BelievedNow());
  const std::optional<RootRotation> running = watch_.FindRunning();
  if (running.has_value() && MayTakeOver(*running, options)) {
    MESHCA_RETURN_IF_ERROR(TakeOver(options, actor, now));
  } else {
    MESHCA_RETURN_IF_ERROR(PrepareNewRoot(options, actor, now));
  }
  if (const auto rotation = watch_.FindRunning(); rotation.has_value() && rotation->step == RotationStep::kPrepare) {
    RotationView view;
    view.facts = watch_.GatherFacts(*rotation, now);
    MESHCA_RETURN_IF_ERROR(TakeRotationStep(authorities_, Act::kPublish, "", view, actor));
  }
  RefreshReport();
  return absl::OkStatus();
}

absl::Status RotationCommands::TakeOver(const RotationOptions& options, const std::string& actor, absl::Time now) {
  const char* detail = options.emergency ? "goes on by itself, as an emergency: the present root is taken for stolen"
                                         : "goes on by itself";
  return authorities_.Change([&](const AuthoritiesAndBundle& state) {
    return TakeOverRotation(state, trust_domain(), options, {actor, detail, now});
  });
}

absl::Status RotationCommands::PrepareNewRoot(const RotationOptions& options, const std::string& actor,
                                              absl::Time now) {
  const bool runs = watch_.FindRunning().has_value();
  if (!authorities_.options().plugged_in_folder.empty() && !runs) {
    return absl::FailedPreconditionError(absl::StrCat("the root is plugged in: put a set with the new root into ",
                                                      authorities_.options().plugged_in_folder,
                                                      ", and meshca rotates to it on evidence"));
  }
  // A key costs, and is not made for an order that will be refused: PrepareRotation says why.
  std::unique_ptr<NewKey> key;
  if (!runs) {
    MESHCA_ASSIGN_OR_RETURN(key, authorities_.maker().GenerateKey());
  }
  const char* detail = options.emergency ? "emergency: the present root is taken for stolen" : "a new root";
  return authorities_.Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
    NewRoot root;
    if (RunningRotation(state) == nullptr) {
      if (key == nullptr) return absl::AbortedError("the rotation that ran has just ended: begin again");
      MESHCA_ASSIGN_OR_RETURN(root, authorities_.maker().MakeNewRoot(*key, state, now));
    }
    return PrepareRotation(state, trust_domain(), std::move(root), options, {actor, detail, now});
  });
}

absl::StatusOr<RotationView> RotationCommands::JudgeStepNow(Act act, bool force, const RootRotation& rotation,
                                                            absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(RotationView view, watch_.JudgeStep(rotation, now));
  // What begins under the bundle before the last acknowledgement has to end first.
  if (const absl::Duration left = watch_.SettlingLeft();
      view.evidence.Satisfied() && !force && left > absl::ZeroDuration()) {
    sleep_(left);
    MESHCA_ASSIGN_OR_RETURN(const absl::Time settled, watch_.BelievedNow());
    MESHCA_ASSIGN_OR_RETURN(view, watch_.JudgeStep(rotation, settled));
  }
  if (!view.evidence.Satisfied() && !force) return NotSafeYet(act, view.evidence);
  MESHCA_ASSIGN_OR_RETURN(const absl::Time not_before, RetireNotBeforeOf(rotation, *authorities_.Current(), store_));
  if (act == Act::kRetire && !force && view.facts.now < not_before) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat(WhyNotRetiredBefore(not_before), ", or --force")),
                      "ROTATION_UNSAFE");
  }
  return view;
}

absl::Status RotationCommands::TakeStepNow(Act act, bool force, const std::string& actor) {
  const std::optional<RootRotation> rotation = watch_.FindRunning();
  if (!rotation.has_value()) return NoneRuns(act);
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, watch_.BelievedNow());
  RotationView view;
  if (IsAtStepOf(act, *rotation)) {
    MESHCA_ASSIGN_OR_RETURN(view, JudgeStepNow(act, force, *rotation, now));
  } else {
    // The change itself refuses, and names the step that the rotation is at.
    view.facts = watch_.GatherFacts(*rotation, now);
  }
  const std::string forced_by = view.evidence.Satisfied() ? "" : actor;
  MESHCA_RETURN_IF_ERROR(TakeRotationStep(authorities_, act, forced_by, view, actor));
  watch_.JudgeAgainAtOnce();
  RefreshReport();
  return absl::OkStatus();
}

absl::Status RotationCommands::Activate(bool force, const std::string& actor) {
  return TakeStepNow(Act::kActivate, force, actor);
}

absl::Status RotationCommands::Retire(bool force, bool external_confirmed, const std::string& actor) {
  const std::optional<RootRotation> running = watch_.FindRunning();
  if (external_confirmed && running.has_value() && !running->external_confirmed) {
    const ChangeReason reason = {actor, "the consumers that meshca cannot see have the new root",
                                 authorities_.clock().Now()};
    MESHCA_RETURN_IF_ERROR(authorities_.Change(
        [&](const AuthoritiesAndBundle& state) { return ConfirmExternal(state, trust_domain(), reason); }));
  }
  return TakeStepNow(Act::kRetire, force, actor);
}

absl::Status RotationCommands::Abort(const std::string& actor) {
  const ChangeReason reason = {actor, "before the new root signed", authorities_.clock().Now()};
  return authorities_.Change(
      [&](const AuthoritiesAndBundle& state) { return AbortRotation(state, trust_domain(), reason); });
}

absl::Status RotationCommands::RollBack(const std::string& actor) {
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, watch_.BelievedNow());
  // RollBackRotation says why where there is nothing to go back to.
  std::optional<NextIssuing> next;
  if (const std::optional<RootRotation> running = watch_.FindRunning();
      running.has_value() && running->step != RotationStep::kRetire) {
    MESHCA_ASSIGN_OR_RETURN(next,
                            NextIssuing::Prepare(authorities_.maker(), *authorities_.Current(), running->old_root_id));
  }
  MESHCA_RETURN_IF_ERROR(authorities_.Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
    const RootRotation* running = RunningRotation(state);
    StoredAuthority issuing;
    if (running != nullptr && running->step != RotationStep::kRetire) {
      if (!next.has_value() || next->root_id() != running->old_root_id) {
        return absl::AbortedError("the rotation has just changed: look at `meshca root status` and try again");
      }
      MESHCA_ASSIGN_OR_RETURN(issuing, next->RowFor(state, now));
    }
    return RollBackRotation(state, trust_domain(), std::move(issuing), {actor, "the old root signs again", now});
  }));
  RefreshReport();
  return absl::OkStatus();
}

absl::Status RotationCommands::Taint(absl::string_view id_prefix, const std::string& actor) {
  std::string id;
  for (const SigningAuthority& authority : authorities_.Current()->authorities) {
    if (!absl::StartsWith(authority.id, id_prefix)) continue;
    if (!id.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", id_prefix, "\" fits several authorities: give more of it"));
    }
    id = authority.id;
  }
  if (id.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no authority's id begins with \"", id_prefix, "\": `meshca cert tree` shows them"));
  }
  const ChangeReason reason = {actor, "its key is taken for stolen", authorities_.clock().Now()};
  return authorities_.Change(
      [&](const AuthoritiesAndBundle& state) { return TaintAuthority(state, trust_domain(), id, reason); });
}

// What went wrong here is seen again, and said, by the driver's next look.
void RotationCommands::RefreshReport() {
  watch_.JudgeAgainAtOnce();
  const std::optional<RootRotation> rotation = watch_.FindRunning();
  if (!rotation.has_value()) return;
  const absl::StatusOr<absl::Time> now = watch_.BelievedNow();
  if (!now.ok()) return;
  const absl::StatusOr<RotationView> view = watch_.JudgeStep(*rotation, *now);
  const absl::StatusOr<absl::Time> not_before = RetireNotBeforeOf(*rotation, *authorities_.Current(), store_);
  if (!view.ok() || !not_before.ok()) return;
  reporter_.KeepView(*view, watch_.DecideNext(*view, *not_before).waiting_for, watch_.EstimateEnd(*view, *not_before));
  watch_.JudgeAgainAtOnce();
}

}  // namespace meshca
