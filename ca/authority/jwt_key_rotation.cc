#include "ca/authority/jwt_key_rotation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/jwt/jwt.h"

namespace meshca {
namespace {

using Act = JwtKeyDecision::Act;

Laggard MakeLaggard(const SubscriberRecord& subscriber, const JwtAuthority& prepared, absl::Time until) {
  Laggard laggard = LaggardOf(subscriber);
  laggard.reason = subscriber.rejected.empty() ? Laggard::Reason::kNotAcknowledged : Laggard::Reason::kRejected;
  laggard.since = std::max(subscriber.first_seen, prepared.created_at);
  laggard.until = until;
  laggard.detail = subscriber.rejected.empty() ? EvictionAdvice(subscriber) : subscriber.rejected;
  return laggard;
}

// The instance counts, and until when.
bool Counts(const SubscriberRecord& subscriber, const JwtKeyFacts& facts, const EvidencePolicy& policy,
            absl::Time& until) {
  if (subscriber.IsEvicted() || !subscriber.takes_jwt_keys) return false;
  until = subscriber.connected ? absl::InfiniteFuture() : RememberedUntil(subscriber, policy);
  return until > facts.now;
}

}  // namespace

RotationEvidence JudgeJwtKey(const JwtKeyFacts& facts, const EvidencePolicy& policy) {
  RotationEvidence evidence;
  const JwtAuthority* const prepared = FindInState(facts.keys, AuthorityState::kPrepared);
  if (prepared == nullptr) return evidence;
  // Those who can still do something about it are shown first.
  for (const bool connected : {true, false}) {
    for (const SubscriberRecord& subscriber : facts.subscribers) {
      absl::Time until;
      if (subscriber.connected != connected || !Counts(subscriber, facts, policy, until)) continue;
      ++evidence.subscribers;
      if (subscriber.trust_version >= prepared->published_version) continue;
      ++evidence.subscribers_behind;
      if (connected) ++evidence.connected_behind;
      if (!connected) evidence.until = std::max(evidence.until, until);
      if (evidence.laggards.size() < RotationEvidence::kLaggardsShown) {
        evidence.laggards.push_back(MakeLaggard(subscriber, *prepared, until));
      }
    }
  }
  return evidence;
}

absl::Time RetiresAt(absl::Time replaced_at, const JwtKeyPolicy& policy) {
  // A token that was being signed when its key was replaced is dated a moment later; verifiers give it the leeway.
  return replaced_at + policy.token_lifetime_max + std::max(policy.evidence.skew, Jwt::kLeeway);
}

absl::Time NextJwtRotation(const std::vector<JwtAuthority>& keys, const JwtKeyPolicy& policy) {
  const JwtAuthority* const active = FindInState(keys, AuthorityState::kActive);
  if (active == nullptr || FindInState(keys, AuthorityState::kPrepared) != nullptr) return absl::InfiniteFuture();
  return active->activated_at + policy.rotate_every;
}

JwtKeyDecision DecideNextJwtAct(const JwtKeyFacts& facts, const RotationEvidence& evidence, absl::Time satisfied_since,
                                const JwtKeyPolicy& policy) {
  JwtKeyDecision decision;
  for (const JwtAuthority& key : facts.keys) {
    if (key.state != AuthorityState::kOld) continue;
    const absl::Time retires = RetiresAt(key.replaced_at, policy);
    if (facts.now >= retires) return {Act::kRetire, key.key.key_id, "", facts.now};
    decision.due = std::min(decision.due, retires);
  }
  if (const JwtAuthority* const prepared = FindInState(facts.keys, AuthorityState::kPrepared); prepared != nullptr) {
    if (!evidence.Satisfied()) {
      decision.waiting_for = absl::StrCat("the next key has to reach ", BehindText(evidence), " of JWT keys");
      if (evidence.connected_behind == 0) decision.due = std::min(decision.due, evidence.until);
      return decision;
    }
    const absl::Time settled = satisfied_since + policy.evidence.settle;
    if (facts.now >= settled) return {Act::kActivate, prepared->key.key_id, "", facts.now};
    decision.waiting_for = "everybody who takes JWT keys holds the next key; settling";
    decision.due = std::min(decision.due, settled);
    return decision;
  }
  const absl::Time next = NextJwtRotation(facts.keys, policy);
  // A key that became active in the future was made while the clock was ahead: it is as old as nobody knows.
  const bool dated_ahead =
      next != absl::InfiniteFuture() && next - policy.rotate_every > facts.now + policy.evidence.skew;
  if (facts.now >= next || dated_ahead) return {Act::kPublish, "", "", facts.now};
  decision.due = std::min(decision.due, next);
  return decision;
}

}  // namespace meshca
