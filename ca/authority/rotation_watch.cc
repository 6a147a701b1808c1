#include "ca/authority/rotation_watch.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/exported_authority.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"

namespace meshca {
namespace {

constexpr absl::Duration kJudgeEvery = absl::Milliseconds(250);
constexpr absl::Duration kJudgeAtLeastEvery = absl::Seconds(30);
// The inventory of millions of leaves takes seconds to read: a twentieth of the time goes into it at most.
constexpr int kIdleFactor = 20;

ExportedFact ExportedFactOf(const SigningAuthority& authority) {
  const Validity& validity = authority.certificate.validity();
  return {authority.id, authority.root_id, authority.certificate.serial_hex(), validity.not_before + kAuthorityBackdate,
          validity.not_after};
}

}  // namespace

std::optional<RootRotation> RotationWatch::FindRunning() const {
  const auto snapshot = parts_.authorities->Current();
  if (snapshot == nullptr || !snapshot->rotation.has_value() || snapshot->rotation->Ended()) return std::nullopt;
  return snapshot->rotation;
}

absl::StatusOr<absl::Time> RotationWatch::BelievedNow() const {
  absl::StatusOr<absl::Time> now = parts_.clock->BelievedNow();
  if (now.ok()) return now;
  return WithReason(absl::FailedPreconditionError(absl::StrCat("the rotation is frozen: ", now.status().message())),
                    "ROTATION_FROZEN");
}

RotationFacts RotationWatch::GatherFacts(const RootRotation& rotation, absl::Time now) const {
  RotationFacts facts;
  facts.now = now;
  facts.rotation = rotation;
  facts.subscribers = parts_.evidence->List();
  facts.shared_key_instances = parts_.evidence->SharedKeyInstances();
  const auto snapshot = parts_.authorities->Current();
  for (const SigningAuthority& authority : snapshot->authorities) {
    facts.root_of.emplace(authority.id, authority.root_id);
    if (authority.exported && authority.state != AuthorityState::kRetired) {
      facts.exported.push_back(ExportedFactOf(authority));
    }
    if (authority.id == rotation.new_root_id) facts.cross_certified = !authority.upstream.empty();
  }
  return facts;
}

absl::StatusOr<RotationEvidence> RotationWatch::GatherEvidence(EvidenceJudge::For step,
                                                               const RotationFacts& facts) const {
  EvidenceJudge judge(step, facts, parts_.policy, parts_.advisor);
  if (const std::optional<LeafQuery> query = judge.Query(parts_.own_spiffe_id); query.has_value()) {
    MESHCA_RETURN_IF_ERROR(parts_.inventory->VisitUnreplaced(*query, [&judge](const LiveLeaf& leaf) {
      judge.AddLeaf(leaf);
      return true;
    }));
  }
  return std::move(judge).Take();
}

absl::StatusOr<RotationView> RotationWatch::JudgeStep(const RootRotation& rotation, absl::Time now) {
  RotationView view;
  const absl::Duration began = clock().SinceBoot();
  view.facts = GatherFacts(rotation, now);
  if (rotation.step == RotationStep::kReissue || rotation.step == RotationStep::kDrain) {
    view.reissue_left = ReplaceKeys(rotation);
  }
  if (const auto needed = EvidenceFor(rotation.step); needed.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(view.evidence, GatherEvidence(*needed, view.facts));
  }
  const absl::Duration ended = clock().SinceBoot();
  next_judgement_ = ended + std::clamp((ended - began) * kIdleFactor, kJudgeEvery, kJudgeAtLeastEvery);
  const bool other_step = number_ != rotation.number || step_ != rotation.step;
  if (other_step) {
    first_judged_ = began;
    reissue_at_first_ = view.reissue_left;
  }
  reissue_left_ = view.reissue_left;
  SetEndsOfWaiting(view.reissue_left, view.facts);
  number_ = rotation.number;
  step_ = rotation.step;
  if (other_step || !view.evidence.Satisfied()) whole_since_ = absl::InfiniteDuration();
  if (view.evidence.Satisfied()) whole_since_ = std::min(whole_since_, began);
  return view;
}

void RotationWatch::GoOnReplacingKeys(const RootRotation& rotation) {
  if (reissue_left_ == 0 || number_ != rotation.number || step_ != rotation.step) return;
  reissue_left_ = ReplaceKeys(rotation);
  if (reissue_left_ == 0) JudgeAgainAtOnce();
}

uint64_t RotationWatch::ReplaceKeys(const RootRotation& rotation) const {
  const auto snapshot = parts_.authorities->Current();
  absl::flat_hash_set<absl::string_view> under_old_root;
  for (const SigningAuthority& authority : snapshot->authorities) {
    if (authority.root_id == rotation.old_root_id) under_old_root.insert(authority.id);
  }
  const auto stale = [&under_old_root](absl::string_view authority_id) {
    return under_old_root.contains(authority_id);
  };
  return parts_.reissuer->Reissue(stale, parts_.reissue_per_second).left;
}

// The time since boot counts, and only while this process runs: neither a clock that jumps nor a server that was down
// for an hour takes anybody's grace away.
void RotationWatch::SetEndsOfWaiting(uint64_t reissue_left, RotationFacts& facts) const {
  if (!facts.rotation.GoesOnWithoutTheSilent()) return;
  const absl::Duration grace_left = first_judged_ + parts_.policy.emergency_grace - clock().SinceBoot();
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

RotationDecision RotationWatch::DecideNext(const RotationView& view, absl::Time retire_not_before) const {
  // whole_since_ as the wall clock would have put it.
  const absl::Time whole_since = view.facts.now - (clock().SinceBoot() - whole_since_);
  return DecideNextAct(view.facts, view.evidence, whole_since, view.reissue_left, retire_not_before, parts_.policy);
}

absl::Duration RotationWatch::SettlingLeft() const {
  return parts_.policy.settle - (clock().SinceBoot() - whole_since_);
}

absl::Time RotationWatch::EstimateEnd(const RotationView& view, absl::Time retire_not_before) const {
  const RotationEvidence& evidence = view.evidence;
  const absl::Time now = view.facts.now;
  if (!view.facts.rotation.automatic) return absl::InfiniteFuture();
  absl::Time end = std::max(now, evidence.until) + 2 * parts_.policy.settle;
  if (view.facts.rotation.step == RotationStep::kReissue) {
    return end + absl::Seconds(static_cast<double>(view.reissue_left) / parts_.reissue_per_second);
  }
  if (evidence.connected_behind > 0) end = absl::InfiniteFuture();
  const absl::Time grace = std::max(now, view.facts.grace_ends);
  if (evidence.leaves_behind == 0) end = std::min(end, grace);
  return view.facts.rotation.step == RotationStep::kDrain ? std::max(end, retire_not_before) : end;
}

bool RotationWatch::WasJustJudged(const RootRotation& rotation) const {
  return clock().SinceBoot() < next_judgement_ && number_ == rotation.number && step_ == rotation.step;
}

absl::Duration RotationWatch::UntilNextTurn() const {
  if (reissue_left_ > 0) return kJudgeEvery;
  return std::max(next_judgement_ - clock().SinceBoot(), kJudgeEvery);
}

}  // namespace meshca
