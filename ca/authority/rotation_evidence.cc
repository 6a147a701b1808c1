#include "ca/authority/rotation_evidence.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/retire_not_before.h"
#include "ca/base/utc_text.h"

namespace meshca {

absl::Time RememberedUntil(const SubscriberRecord& subscriber, const EvidencePolicy& policy) {
  if (subscriber.certificate_expires == absl::InfinitePast()) return subscriber.last_seen + policy.leaf_lifetime;
  return subscriber.certificate_expires + policy.skew;
}

std::string EvictionAdvice(const SubscriberRecord& subscriber) {
  if (subscriber.connected) {
    return absl::StrCat("connected, and has not answered; to go on without it: meshca subscriber evict '",
                        subscriber.instance, "'");
  }
  return absl::StrCat("has left; if it is gone for good: meshca subscriber evict '", subscriber.instance, "'");
}

namespace {

// A CSR that was being answered while both roots were published was answered with the bundle of before, and its record
// may bear a later time: the publication's own commit, and the record's, take their time on a slow disk.
constexpr int kInFlight = 10;

std::string Advice(const SubscriberRecord& subscriber, Laggard::Reason reason) {
  if (reason == Laggard::Reason::kRejected) return subscriber.rejected;
  if (reason == Laggard::Reason::kRootsUnobserved) {
    return "put the new root where it reads its roots, then say so with --confirm-external";
  }
  // Nobody can evict what others mount; it is written again until it is as it should be.
  if (subscriber.kind == kPublishedKind) return subscriber.version_info;
  return EvictionAdvice(subscriber);
}

}  // namespace

std::string ExportedName(const ExportedFact& exported) {
  return absl::StrCat("issuing authority ", exported.id.substr(0, 16));
}

std::string BehindText(const RotationEvidence& evidence) {
  std::string text;
  if (evidence.subscribers_behind > 0) {
    text = absl::StrCat(evidence.subscribers_behind, " of ", evidence.subscribers,
                        evidence.subscribers == 1 ? " subscriber" : " subscribers");
  }
  if (evidence.leaves_behind > 0) {
    absl::StrAppend(&text, text.empty() ? "" : " and ", evidence.leaves_behind,
                    evidence.leaves_behind == 1 ? " certificate" : " certificates");
  }
  return text;
}

EvidenceJudge::EvidenceJudge(For step, const RotationFacts& facts, const EvidencePolicy& policy,
                             const RotationAdvisor* advisor)
    : step_(step), facts_(facts), policy_(policy), advisor_(advisor) {
  std::vector<const SubscriberRecord*> connected_first;
  known_.insert(facts_.shared_key_instances.begin(), facts_.shared_key_instances.end());
  for (const SubscriberRecord& subscriber : facts_.subscribers) {
    known_.insert(subscriber.instance);
    connected_first.push_back(&subscriber);
  }
  // Those who can still do something about it are shown first.
  std::stable_partition(connected_first.begin(), connected_first.end(),
                        [](const SubscriberRecord* subscriber) { return subscriber->connected; });
  for (const SubscriberRecord* subscriber : connected_first) Judge(*subscriber);
  for (const ExportedFact& exported : facts_.exported) JudgeExported(exported);
}

uint64_t EvidenceJudge::BundleNeeded() const {
  return step_ == For::kEnd ? facts_.rotation.retire_sequence : facts_.rotation.bundle_sequence;
}

// A stolen root is not signed with for a day because of those who can verify its successor without being told.
bool EvidenceJudge::Hurried() const {
  return step_ == For::kActivation && facts_.rotation.emergency && facts_.cross_certified;
}

std::optional<Laggard::Reason> EvidenceJudge::WhyBehind(const SubscriberRecord& subscriber) const {
  if (subscriber.takes_bundle && subscriber.trust_version < BundleNeeded()) {
    return subscriber.rejected.empty() ? Laggard::Reason::kNotAcknowledged : Laggard::Reason::kRejected;
  }
  if (step_ == For::kRetirement && subscriber.takes_key) {
    const auto root = facts_.root_of.find(subscriber.authority_id);
    if (root == facts_.root_of.end() || root->second != facts_.rotation.new_root_id) return Laggard::Reason::kOldKey;
  }
  // Before activation the cross-certificate serves those who hold the old root alone; before retirement nothing does.
  const bool needs_roots = step_ == For::kRetirement || (step_ == For::kActivation && !facts_.cross_certified);
  if (needs_roots && !subscriber.takes_bundle && !facts_.rotation.external_confirmed) {
    return Laggard::Reason::kRootsUnobserved;
  }
  return std::nullopt;
}

void EvidenceJudge::Judge(const SubscriberRecord& subscriber) {
  if (subscriber.evicted_at != absl::InfiniteFuture()) return;
  if (!subscriber.takes_bundle && !subscriber.takes_key) return;
  const absl::Time until = subscriber.connected ? absl::InfiniteFuture() : RememberedUntil(subscriber, policy_);
  if (until <= facts_.now) return;
  // Who left will ask for the bundle of the day when it comes back.
  if ((step_ == For::kEnd || Hurried()) && !subscriber.connected) return;
  ++evidence_.subscribers;
  if (!subscriber.takes_bundle && !facts_.rotation.external_confirmed) ++evidence_.roots_unseen;
  const std::optional<Laggard::Reason> why = WhyBehind(subscriber);
  if (!why.has_value()) return;
  ++evidence_.subscribers_behind;
  if (subscriber.connected) ++evidence_.connected_behind;
  Laggard laggard = LaggardOf(subscriber);
  laggard.reason = *why;
  laggard.since = std::max(subscriber.first_seen,
                           *why == Laggard::Reason::kOldKey ? facts_.rotation.step_at : facts_.rotation.published_at);
  laggard.until = until;
  laggard.detail = Advice(subscriber, *why);
  Add(std::move(laggard));
}

// Those whom it signs for are no subscribers of ours and hold no leaf that is on record: they are judged as consumers
// whose roots nobody here sees, and their certificates as alive for as long as the authority is.
void EvidenceJudge::JudgeExported(const ExportedFact& exported) {
  if (step_ == For::kEnd || exported.root_id != facts_.rotation.old_root_id || exported.ends <= facts_.now) return;
  const bool unseen = !facts_.rotation.external_confirmed;
  if (unseen) ++evidence_.roots_unseen;
  if (step_ == For::kActivation && (facts_.cross_certified || !unseen)) return;
  ++evidence_.leaves_behind;
  Laggard laggard;
  laggard.reason = Laggard::Reason::kExported;
  laggard.instance = ExportedName(exported);
  laggard.via = "exported";
  laggard.serial = exported.serial;
  laggard.since = std::max(exported.exported_at, facts_.rotation.published_at);
  laggard.until = exported.ends;
  laggard.detail = step_ == For::kActivation
                       ? "bring the new root to those whom it signs for, then say so with --confirm-external"
                       : "what it signed is not known here; if nothing depends on it any more: meshca root retire "
                         "--force, when nobody else is behind";
  Add(std::move(laggard));
}

std::optional<LeafQuery> EvidenceJudge::Query(const std::string& own_spiffe_id) const {
  if (step_ == For::kEnd || Hurried()) return std::nullopt;
  LeafQuery query;
  query.alive_at = facts_.now - policy_.skew;
  query.except_spiffe_id = own_spiffe_id;
  if (step_ == For::kRetirement) {
    query.root_id = facts_.rotation.old_root_id;
  } else {
    query.issued_before = facts_.rotation.published_at + kInFlight * policy_.settle;
  }
  return query;
}

void EvidenceJudge::AddLeaf(const LiveLeaf& leaf) {
  if (!leaf.instance.empty() && known_.contains(leaf.instance)) return;
  if (advisor_ != nullptr && advisor_->HolderIsGone(leaf)) return;
  ++evidence_.leaves_behind;
  const absl::Time until = leaf.not_after + policy_.skew;
  // The holder may renew it before; that nobody can foresee.
  if (evidence_.laggards.size() >= RotationEvidence::kLaggardsShown) {
    evidence_.until = std::max(evidence_.until, until);
    return;
  }
  Laggard laggard;
  laggard.reason = Laggard::Reason::kLiveLeaf;
  laggard.spiffe_id = leaf.spiffe_id;
  laggard.instance = leaf.instance;
  laggard.node = leaf.node;
  laggard.via = leaf.caller;
  laggard.serial = leaf.serial;
  laggard.since = leaf.issued_at;
  laggard.until = until;
  laggard.detail = "counts until it ends or its holder renews it";
  if (advisor_ != nullptr) advisor_->AdviseOn(leaf, facts_.rotation, laggard);
  Add(std::move(laggard));
}

void EvidenceJudge::Add(Laggard laggard) {
  if (laggard.until != absl::InfiniteFuture()) evidence_.until = std::max(evidence_.until, laggard.until);
  if (evidence_.laggards.size() < RotationEvidence::kLaggardsShown) evidence_.laggards.push_back(std::move(laggard));
}

bool MayHoldOldRootAlone(const RotationFacts& facts, const RotationEvidence& evidence) {
  return facts.rotation.emergency || !evidence.Satisfied() || evidence.roots_unseen > 0;
}

absl::string_view ForcedByName(ForcedBy by) {
  switch (by) {
    case ForcedBy::kNothing: return "";
    case ForcedBy::kDeadline: return "the deadline";
    case ForcedBy::kEmergencyGrace: return "the emergency grace";
  }
  return "";
}

std::optional<EvidenceJudge::For> EvidenceFor(RotationStep step) {
  switch (step) {
    case RotationStep::kDistribute: return EvidenceJudge::For::kActivation;
    case RotationStep::kReissue:
    case RotationStep::kDrain: return EvidenceJudge::For::kRetirement;
    case RotationStep::kRetire: return EvidenceJudge::For::kEnd;
    case RotationStep::kPrepare:
    case RotationStep::kDone: return std::nullopt;
  }
  return std::nullopt;
}

namespace {

// Who goes on without the evidence, if somebody does. A certificate whose holder takes nothing from here is never left
// out by the grace: foreign clients renew at half-life, hours later, and cutting them off is the operator's to decide
// (a deadline, or revoking it).
ForcedBy FindForce(const RotationFacts& facts, const RotationEvidence& evidence) {
  if (evidence.Satisfied()) return ForcedBy::kNothing;
  if (facts.now >= facts.rotation.deadline) return ForcedBy::kDeadline;
  if (facts.now >= facts.grace_ends && evidence.leaves_behind == 0) return ForcedBy::kEmergencyGrace;
  return ForcedBy::kNothing;
}

// How long subscribers that are behind can hold up an emergency's step.
std::string GraceText(const RotationFacts& facts, const RotationEvidence& evidence) {
  if (evidence.subscribers_behind == 0 || facts.grace_ends == absl::InfiniteFuture()) return "";
  if (facts.now >= facts.grace_ends) return "; its subscribers hold an emergency up no longer";
  return absl::StrCat("; subscribers hold an emergency up until ", TimeOfDayText(facts.grace_ends));
}

}  // namespace

RotationDecision DecideNextAct(const RotationFacts& facts, const RotationEvidence& evidence, absl::Time satisfied_since,
                               uint64_t reissue_left, absl::Time retire_not_before, const EvidencePolicy& policy) {
  using Act = RotationDecision::Act;
  const RootRotation& rotation = facts.rotation;
  auto wait = [](std::string what) { return RotationDecision{Act::kWait, ForcedBy::kNothing, std::move(what)}; };
  if (rotation.step == RotationStep::kPrepare) return {Act::kPublish, ForcedBy::kNothing, ""};
  if (rotation.step == RotationStep::kDone) return {};
  if (rotation.step == RotationStep::kReissue) {
    const bool late = facts.now >= rotation.deadline && !evidence.Satisfied();
    if (reissue_left == 0 || late || facts.now >= facts.reissue_ends) return {Act::kDrain, ForcedBy::kNothing, ""};
    return wait(absl::StrCat(reissue_left, " keys of subscribers are being replaced"));
  }
  const ForcedBy forced_by = FindForce(facts, evidence);
  const bool cut_off = forced_by != ForcedBy::kNothing;
  const std::string grace = GraceText(facts, evidence);
  const bool settled = evidence.Satisfied() && facts.now - satisfied_since >= policy.settle;
  switch (rotation.step) {
    case RotationStep::kDistribute:
      if (!evidence.Satisfied() && !cut_off)
        return wait(absl::StrCat("both roots have to reach ", BehindText(evidence), grace));
      if (!rotation.automatic) return wait("every subscriber holds both roots: go on with `meshca root activate`");
      if (settled || cut_off) return {Act::kActivate, forced_by, ""};
      return wait("every subscriber holds both roots; settling");
    case RotationStep::kDrain:
      if (!evidence.Satisfied() && !cut_off) {
        return wait(absl::StrCat(BehindText(evidence), " under the old root have to end or be replaced", grace));
      }
      if (facts.now < retire_not_before) {
        return wait(WhyNotRetiredBefore(retire_not_before));
      }
      if (!rotation.automatic) return wait("nothing depends on the old root: go on with `meshca root retire`");
      if (settled || cut_off) return {Act::kRetire, forced_by, ""};
      return wait("nothing depends on the old root; settling");
    default:
      if (settled || cut_off) return {Act::kFinish, forced_by, ""};
      if (evidence.Satisfied()) return wait("the old root has left every subscriber's bundle; settling");
      return wait(absl::StrCat("the old root has to leave the bundles of ", BehindText(evidence), grace));
  }
}

}  // namespace meshca
