#include "ca/authority/rotation_driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/next_issuing.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

constexpr char kSelf[] = "meshca";  // the actor in the audit log
constexpr absl::Duration kLookEvery = absl::Milliseconds(250);
constexpr absl::Duration kLookAtLeast = absl::Seconds(30);
// The inventory of millions of leaves takes seconds to read: a twentieth of the time goes into it at most.
constexpr int kIdleFactor = 20;
constexpr absl::Duration kRetryAfter = absl::Seconds(1);
// Steps one Tick takes: more than a rotation has.
constexpr int kStepsMax = 8;
constexpr uint64_t kNamedInRefusal = 20;
constexpr size_t kRefusalBytesMax = 2048;
constexpr size_t kNamedInRecord = 10;

// The first of those behind, a line each, for the operator who is refused; no more than an error's text has room for.
std::string Lines(const RotationEvidence& evidence) {
  std::string text;
  uint64_t named = 0;
  for (const Laggard& laggard : evidence.laggards) {
    const std::string line = absl::StrCat("\n  ", LaggardText(laggard));
    if (named == kNamedInRefusal || (named > 0 && text.size() + line.size() > kRefusalBytesMax)) break;
    text += line;
    ++named;
  }
  const uint64_t behind = evidence.subscribers_behind + evidence.leaves_behind;
  if (behind > named)
    absl::StrAppend(&text, "\n  and ", behind - named, " more; 'meshca root status' names more of them");
  return text;
}

// What a forced step broke, in one line for the record.
std::string ForcedText(absl::string_view what, const RotationEvidence& evidence, const std::string& actor,
                       absl::Time now) {
  std::string text =
      absl::StrCat(actor, " forced ", what, " at ", UtcText(now), " with ", BehindText(evidence), " behind:");
  for (size_t i = 0; i < evidence.laggards.size() && i < kNamedInRecord; ++i) {
    const Laggard& laggard = evidence.laggards[i];
    absl::StrAppend(&text, i == 0 ? " " : ", ", laggard.spiffe_id.empty() ? "(no identity)" : laggard.spiffe_id,
                    laggard.node.empty() ? "" : " on ", laggard.node);
    if (!laggard.instance.empty()) absl::StrAppend(&text, " (", laggard.instance, ")");
  }
  if (evidence.laggards.size() > kNamedInRecord) absl::StrAppend(&text, " and others");
  return text;
}

// Can the rotation that runs go on as the one that is asked for?
bool MayTakeOver(const RootRotation& running, const RotationOptions& options) {
  if (!options.automatic) return false;
  if (options.emergency == running.emergency) return !running.automatic;
  const bool before_activation = running.step == RotationStep::kPrepare || running.step == RotationStep::kDistribute;
  return options.emergency && before_activation;
}

absl::Status Refusal(absl::string_view step, absl::string_view broken, const RotationEvidence& evidence) {
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          step, " is not safe yet: ", BehindText(evidence), " ", broken, ":", Lines(evidence),
          "\nwait for them (`meshca root status --watch`), evict who is gone (`meshca subscriber evict`), or --force: "
          "new connections of those named then fail, and it is recorded who forced it")),
      "ROTATION_UNSAFE");
}

}  // namespace

RotationDriver::RotationDriver(Parts parts)
    : parts_(std::move(parts)),
      own_spiffe_id_(absl::StrCat(parts_.authorities->options().trust_domain.Id(), "/meshca/server")) {}

std::optional<RootRotation> RotationDriver::Running() const {
  const auto snapshot = parts_.authorities->Current();
  if (snapshot == nullptr || !snapshot->rotation.has_value() || snapshot->rotation->Ended()) return std::nullopt;
  return snapshot->rotation;
}

absl::StatusOr<RotationFacts> RotationDriver::Facts(const RootRotation& rotation, absl::Time now) const {
  RotationFacts facts;
  facts.now = now;
  facts.rotation = rotation;
  facts.subscribers = parts_.evidence->List();
  const auto snapshot = parts_.authorities->Current();
  for (const SigningAuthority& authority : snapshot->authorities) {
    facts.root_of.emplace(authority.id, authority.root_id);
    if (authority.id == rotation.new_root_id) facts.cross_certified = !authority.upstream.empty();
  }
  return facts;
}

absl::StatusOr<RotationEvidence> RotationDriver::Judge(EvidenceJudge::For step, const RotationFacts& facts) const {
  EvidenceJudge judge(step, facts, parts_.policy);
  if (const std::optional<LeafQuery> query = judge.Query(own_spiffe_id_); query.has_value()) {
    MESHCA_RETURN_IF_ERROR(parts_.inventory->VisitUnreplaced(*query, [&judge](const LiveLeaf& leaf) {
      judge.AddLeaf(leaf);
      return true;
    }));
  }
  return std::move(judge).Take();
}

absl::StatusOr<RotationDriver::View> RotationDriver::Look(const RootRotation& rotation, absl::Time now) {
  View view;
  const absl::Duration began = parts_.clock->SinceBoot();
  MESHCA_ASSIGN_OR_RETURN(view.facts, Facts(rotation, now));
  if (rotation.step == RotationStep::kReissue || rotation.step == RotationStep::kDrain) {
    view.reissue_left =
        parts_.reissuer
            ->Reissue(
                [&view](absl::string_view authority_id) {
                  const auto root = view.facts.root_of.find(std::string(authority_id));
                  return root != view.facts.root_of.end() && root->second == view.facts.rotation.old_root_id;
                },
                parts_.reissue_per_second)
            .left;
  }
  if (const auto needed = EvidenceFor(rotation.step); needed.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(view.evidence, Judge(*needed, view.facts));
  }
  const absl::Duration ended = parts_.clock->SinceBoot();
  look_again_ = ended + std::clamp((ended - began) * kIdleFactor, kLookEvery, kLookAtLeast);
  const bool other_step = satisfied_number_ != rotation.number || satisfied_step_ != rotation.step;
  if (other_step) {
    step_seen_ = began;
    reissue_at_first_ = view.reissue_left;
  }
  SetEndsOfWaiting(view.reissue_left, view.facts);
  satisfied_number_ = rotation.number;
  satisfied_step_ = rotation.step;
  if (other_step || !view.evidence.Satisfied()) satisfied_since_ = absl::InfiniteDuration();
  if (view.evidence.Satisfied()) satisfied_since_ = std::min(satisfied_since_, began);
  return view;
}

// The time since boot counts, and only while this process runs: neither a clock that jumps nor a server that was down
// for an hour takes anybody's grace away.
void RotationDriver::SetEndsOfWaiting(uint64_t reissue_left, RotationFacts& facts) const {
  if (!facts.rotation.GoesOnWithoutTheSilent()) return;
  const absl::Duration grace_left = step_seen_ + parts_.policy.emergency_grace - parts_.clock->SinceBoot();
  if (facts.rotation.step != RotationStep::kReissue) {
    facts.grace_ends = facts.now + grace_left;
    return;
  }
  // Keys are replaced at the pace of the budget. One whose replacement is refused again and again (a rate of its own
  // caller) must not keep the stolen root, and whoever only waits for its turn must not be left behind.
  if (reissue_left == 0) return;
  const absl::Duration all = absl::Seconds(static_cast<double>(reissue_at_first_) / parts_.reissue_per_second);
  facts.reissue_ends = facts.now + grace_left + all;
}

absl::Time RotationDriver::SatisfiedSince(absl::Time now) const {
  return now - (parts_.clock->SinceBoot() - satisfied_since_);
}

absl::Time RotationDriver::EndsAbout(const View& view) const {
  const RotationEvidence& evidence = view.evidence;
  const absl::Time now = view.facts.now;
  const RotationStep step = view.facts.rotation.step;
  if (!view.facts.rotation.automatic) return absl::InfiniteFuture();
  absl::Time end = std::max(now, evidence.until) + 2 * parts_.policy.settle;
  if (step == RotationStep::kReissue)
    return end + absl::Seconds(static_cast<double>(view.reissue_left) / parts_.reissue_per_second);
  if (evidence.connected_behind > 0) end = absl::InfiniteFuture();
  const absl::Time grace = std::max(now, view.facts.grace_ends);
  return evidence.leaves_behind == 0 ? std::min(end, grace) : end;
}

void RotationDriver::Show(const View& view, std::string waiting_for) {
  MutexLock lock(mutex_);
  report_.rotation = view.facts.rotation;
  report_.evidence = view.evidence;
  report_.as_of = view.facts.now;
  report_.reissue_left = view.reissue_left;
  report_.waiting_for = std::move(waiting_for);
  report_.ends_about = EndsAbout(view);
  report_.grace_ends = view.facts.grace_ends;
}

absl::StatusOr<absl::Time> RotationDriver::BelievedNow() const {
  absl::StatusOr<absl::Time> now = parts_.authorities->BelievedNow();
  if (now.ok()) return now;
  return WithReason(absl::FailedPreconditionError(absl::StrCat("the rotation is frozen: ", now.status().message())),
                    "ROTATION_FROZEN");
}

absl::StatusOr<absl::Time> RotationDriver::RetireNotBefore() const {
  const absl::StatusOr<std::string> text = parts_.store->GetSetting(kSettingRetireNotBefore);
  if (absl::IsNotFound(text.status())) return absl::InfinitePast();
  MESHCA_RETURN_IF_ERROR(text.status());
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(*text, &seconds)) {
    return absl::DataLossError(absl::StrCat("setting ", kSettingRetireNotBefore, " is no number: \"", *text, "\""));
  }
  return absl::FromUnixSeconds(seconds);
}

absl::Time RotationDriver::Tick(absl::Time now) {
  MutexLock lock(turn_);
  absl::StatusOr<Advanced> last = Advanced::kMoved;
  for (int step = 0; step < kStepsMax && last.ok() && *last == Advanced::kMoved; ++step) last = Advance();
  // What went wrong stands until somebody has looked again.
  if (!last.ok() || *last != Advanced::kNotYet) Say(last.status());
  if (!Running().has_value()) return now + absl::Hours(1);
  const absl::Duration left = look_again_ - parts_.clock->SinceBoot();
  return now + (last.ok() ? std::max(left, kLookEvery) : kRetryAfter);
}

void RotationDriver::Say(const absl::Status& status) {
  MutexLock lock(mutex_);
  const std::string error(status.message());
  if (!error.empty() && error != report_.error) LogError("rotation of the root", {{"error", error}});
  report_.error = error;
}

absl::StatusOr<RotationDriver::Advanced> RotationDriver::Advance() {
  const std::optional<RootRotation> rotation = Running();
  if (!rotation.has_value()) return Advanced::kWaits;
  const absl::StatusOr<absl::Time> now = BelievedNow();
  if (!now.ok()) return Advanced::kWaits;
  if (parts_.clock->SinceBoot() < look_again_ && satisfied_number_ == rotation->number &&
      satisfied_step_ == rotation->step) {
    return Advanced::kNotYet;
  }
  MESHCA_ASSIGN_OR_RETURN(const View view, Look(*rotation, *now));
  MESHCA_ASSIGN_OR_RETURN(const absl::Time retire_not_before, RetireNotBefore());
  const RotationDecision decision =
      Decide(view.facts, view.evidence, SatisfiedSince(*now), view.reissue_left, retire_not_before, parts_.policy);
  Show(view, decision.waiting_for);
  if (decision.act == RotationDecision::Act::kWait) return Advanced::kWaits;
  MESHCA_RETURN_IF_ERROR(Do(decision.act, decision.forced_by, view, kSelf));
  return Advanced::kMoved;
}

// `forced_by`: "" where the evidence was whole.
absl::Status RotationDriver::Do(RotationDecision::Act act, absl::string_view forced_by, const View& view,
                                const std::string& actor) {
  using Act = RotationDecision::Act;
  const absl::Time now = view.facts.now;
  const TrustDomain& domain = parts_.authorities->options().trust_domain;
  const RotationEvidence& evidence = view.evidence;
  const absl::string_view what = act == Act::kActivate ? "activation" : act == Act::kRetire ? "retirement" : "the end";
  const std::string forced = forced_by.empty() ? "" : ForcedText(what, evidence, std::string(forced_by), now);
  const ChangeReason reason = {
      actor, !forced.empty() ? forced : absl::StrCat(evidence.subscribers, " subscribers judged, none behind"), now};
  std::optional<NextIssuing> next;
  if (act == Act::kActivate) {
    MESHCA_ASSIGN_OR_RETURN(next, NextIssuing::Prepare(parts_.authorities->maker(), *parts_.authorities->Current(),
                                                       view.facts.rotation.new_root_id));
  }
  absl::Status status =
      parts_.authorities->Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
        switch (act) {
          case Act::kPublish: return PublishRotation(state, domain, {actor, "the bundle holds both roots", now});
          case Act::kActivate: {
            MESHCA_ASSIGN_OR_RETURN(StoredAuthority issuing, next->RowFor(state, now));
            return ActivateRotation(state, domain, std::move(issuing), forced, reason);
          }
          case Act::kDrain: return DrainRotation(state, domain, {actor, "every key held here was replaced", now});
          case Act::kRetire: return RetireRotation(state, domain, forced, reason);
          case Act::kFinish: return FinishRotation(state, domain, forced, reason);
          case Act::kWait: break;
        }
        return absl::InternalError("a rotation that waits has nothing to commit");
      });
  if (status.ok()) look_again_ = -absl::InfiniteDuration();
  return status;
}

// The step as it stands after a command, for whoever asks next.
void RotationDriver::LookForReaders() {
  const std::optional<RootRotation> rotation = Running();
  if (!rotation.has_value()) return;
  const absl::StatusOr<absl::Time> now = BelievedNow();
  if (!now.ok()) return;
  const auto view = Look(*rotation, *now);
  const auto not_before = RetireNotBefore();
  if (!view.ok() || !not_before.ok()) return;
  Show(*view, Decide(view->facts, view->evidence, SatisfiedSince(*now), view->reissue_left, *not_before, parts_.policy)
                  .waiting_for);
  look_again_ = -absl::InfiniteDuration();
}

RotationReport RotationDriver::Report() {
  const auto snapshot = parts_.authorities->Current();
  RotationReport report;
  {
    MutexLock lock(mutex_);
    report = report_;
  }
  const std::optional<RootRotation> shown = std::exchange(report.rotation, snapshot->rotation);
  const bool running = snapshot->rotation.has_value() && !snapshot->rotation->Ended();
  if (!running || !shown.has_value() || shown->number != snapshot->rotation->number ||
      shown->step != snapshot->rotation->step) {
    // What was last seen is of another step.
    std::string error = std::move(report.error);
    report = RotationReport();
    report.rotation = snapshot->rotation;
    if (running) report.waiting_for = "the subscribers are being counted";
    report.error = std::move(error);
  }
  if (!running) return report;
  if (snapshot->rotation->GoesOnWithoutTheSilent()) report.emergency_grace = parts_.policy.emergency_grace;
  report.frozen = parts_.authorities->ClockFinding();
  for (const SigningAuthority& authority : snapshot->authorities) {
    if (authority.id != snapshot->rotation->new_root_id || !authority.upstream.empty() ||
        snapshot->rotation->rolled_back || snapshot->rotation->step == RotationStep::kRetire) {
      continue;
    }
    report.warnings.push_back(
        "the old root cannot certify the new one (its key is not held, or its pathLenConstraint leaves no room): who "
        "holds the old root alone cannot verify new certificates");
  }
  return report;
}

absl::Status RotationDriver::Begin(const RotationOptions& options, const std::string& actor) {
  MutexLock lock(turn_);
  AuthorityManager& authorities = *parts_.authorities;
  const TrustDomain& domain = authorities.options().trust_domain;
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, BelievedNow());
  const std::optional<RootRotation> running = Running();
  if (running.has_value() && MayTakeOver(*running, options)) {
    const char* detail = options.emergency ? "goes on by itself, as an emergency: the present root is taken for stolen"
                                           : "goes on by itself";
    MESHCA_RETURN_IF_ERROR(authorities.Change([&](const AuthoritiesAndBundle& state) {
      return TakeOverRotation(state, domain, options, {actor, detail, now});
    }));
  } else {
    if (!authorities.options().plugged_in_folder.empty() && !running.has_value()) {
      return absl::FailedPreconditionError(absl::StrCat("the root is plugged in: put a set with the new root into ",
                                                        authorities.options().plugged_in_folder,
                                                        ", and meshca rotates to it on evidence"));
    }
    // A key costs, and is not made for an order that will be refused: PrepareRotation says why.
    std::unique_ptr<NewKey> key;
    if (!running.has_value()) {
      MESHCA_ASSIGN_OR_RETURN(key, authorities.maker().GenerateKey());
    }
    MESHCA_RETURN_IF_ERROR(
        authorities.Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
          NewRoot root;
          if (RunningRotation(state) == nullptr) {
            if (key == nullptr) return absl::AbortedError("the rotation that ran has just ended: begin again");
            MESHCA_ASSIGN_OR_RETURN(root, authorities.maker().MakeNewRoot(*key, state, now));
          }
          const char* detail = options.emergency ? "emergency: the present root is taken for stolen" : "a new root";
          return PrepareRotation(state, domain, std::move(root), options, {actor, detail, now});
        }));
  }
  if (const auto rotation = Running(); rotation.has_value() && rotation->step == RotationStep::kPrepare) {
    View view;
    MESHCA_ASSIGN_OR_RETURN(view.facts, Facts(*rotation, now));
    MESHCA_RETURN_IF_ERROR(Do(RotationDecision::Act::kPublish, "", view, actor));
  }
  LookForReaders();
  return absl::OkStatus();
}

absl::Status RotationDriver::DoNow(RotationDecision::Act act, bool force, const std::string& actor) {
  const bool activates = act == RotationDecision::Act::kActivate;
  const std::optional<RootRotation> rotation = Running();
  if (!rotation.has_value()) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat("no rotation runs, so there is no root to ",
                                                                 activates ? "activate" : "retire",
                                                                 ": begin one with `meshca root rotate`")),
                      "ROTATION_NONE");
  }
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, BelievedNow());
  const bool at_it = activates ? rotation->step == RotationStep::kDistribute
                               : rotation->step == RotationStep::kReissue || rotation->step == RotationStep::kDrain;
  View view;
  if (at_it) {
    MESHCA_ASSIGN_OR_RETURN(view, Look(*rotation, now));
    if (view.evidence.Satisfied() && !force) {
      // What begins under the bundle before the last acknowledgement has to end first.
      const absl::Duration left = parts_.policy.settle - (parts_.clock->SinceBoot() - satisfied_since_);
      if (left > absl::ZeroDuration()) {
        parts_.sleep(left);
        MESHCA_ASSIGN_OR_RETURN(const absl::Time settled, BelievedNow());
        MESHCA_ASSIGN_OR_RETURN(view, Look(*rotation, settled));
      }
    }
    if (!view.evidence.Satisfied() && !force) {
      return activates ? Refusal("activating the new root", "would not trust what it signs", view.evidence)
                       : Refusal("retiring the old root", "still depend on it", view.evidence);
    }
    MESHCA_ASSIGN_OR_RETURN(const absl::Time not_before, RetireNotBefore());
    if (!activates && !force && view.facts.now < not_before) {
      return WithReason(absl::FailedPreconditionError(absl::StrCat(
                            "the database was restored from a backup that may not know every certificate: no root is "
                            "retired before ",
                            UtcText(not_before), ", or --force")),
                        "ROTATION_UNSAFE");
    }
  } else {
    // The change itself names the step that it is at.
    MESHCA_ASSIGN_OR_RETURN(view.facts, Facts(*rotation, now));
  }
  MESHCA_RETURN_IF_ERROR(Do(act, view.evidence.Satisfied() ? "" : actor, view, actor));
  LookForReaders();
  return absl::OkStatus();
}

absl::Status RotationDriver::Activate(bool force, const std::string& actor) {
  MutexLock lock(turn_);
  return DoNow(RotationDecision::Act::kActivate, force, actor);
}

absl::Status RotationDriver::Retire(bool force, bool external_confirmed, const std::string& actor) {
  MutexLock lock(turn_);
  if (external_confirmed && Running().has_value() && !Running()->external_confirmed) {
    MESHCA_RETURN_IF_ERROR(parts_.authorities->Change([&](const AuthoritiesAndBundle& state) {
      return ConfirmExternal(state, parts_.authorities->options().trust_domain,
                             {actor, "the consumers that meshca cannot see have the new root", parts_.clock->Now()});
    }));
  }
  return DoNow(RotationDecision::Act::kRetire, force, actor);
}

absl::Status RotationDriver::Abort(const std::string& actor) {
  MutexLock lock(turn_);
  return parts_.authorities->Change([&](const AuthoritiesAndBundle& state) {
    return AbortRotation(state, parts_.authorities->options().trust_domain,
                         {actor, "the new root is withdrawn", parts_.clock->Now()});
  });
}

absl::Status RotationDriver::Rollback(const std::string& actor) {
  MutexLock lock(turn_);
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, BelievedNow());
  // RollBackRotation says why where there is nothing to go back to.
  std::optional<NextIssuing> next;
  if (const std::optional<RootRotation> running = Running();
      running.has_value() && running->step != RotationStep::kRetire) {
    MESHCA_ASSIGN_OR_RETURN(
        next, NextIssuing::Prepare(parts_.authorities->maker(), *parts_.authorities->Current(), running->old_root_id));
  }
  MESHCA_RETURN_IF_ERROR(
      parts_.authorities->Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
        const TrustDomain& domain = parts_.authorities->options().trust_domain;
        const RootRotation* running = RunningRotation(state);
        StoredAuthority issuing;
        if (running != nullptr && running->step != RotationStep::kRetire) {
          if (!next.has_value() || next->root_id() != running->old_root_id) {
            return absl::AbortedError("the rotation has just changed: look at `meshca root status` and try again");
          }
          MESHCA_ASSIGN_OR_RETURN(issuing, next->RowFor(state, now));
        }
        return RollBackRotation(state, domain, std::move(issuing), {actor, "the old root signs again", now});
      }));
  LookForReaders();
  return absl::OkStatus();
}

absl::Status RotationDriver::Taint(absl::string_view id_prefix, const std::string& actor) {
  MutexLock lock(turn_);
  std::string id;
  for (const SigningAuthority& authority : parts_.authorities->Current()->authorities) {
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
  return parts_.authorities->Change([&](const AuthoritiesAndBundle& state) {
    return TaintAuthority(state, parts_.authorities->options().trust_domain, id,
                          {actor, "its key is taken for stolen", parts_.clock->Now()});
  });
}

}  // namespace meshca
