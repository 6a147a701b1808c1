#include "ca/authority/jwt_key_driver.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/jwt_authority_rows.h"
#include "ca/authority/jwt_key_change.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

using Act = JwtKeyDecision::Act;

constexpr absl::Duration kJwtAgainAfterError = absl::Seconds(1);
constexpr absl::Duration kLookAtFrozenClock = absl::Seconds(5);
// Between two looks at the subscribers while a key waits for them. A twentieth of the time goes into looking at most.
constexpr absl::Duration kLookEvery = absl::Milliseconds(250);
constexpr absl::Duration kLookAtLeastEvery = absl::Seconds(30);
constexpr int kJwtIdleFactor = 20;
constexpr absl::Duration kSleepMax = absl::Hours(1);
// Steps that one Tick takes: more than there can be.
constexpr int kJwtStepsMax = 8;
constexpr size_t kPrefixBytesMin = 8;

std::string PreparedId(const std::vector<JwtAuthority>& keys) {
  const JwtAuthority* const prepared = FindInState(keys, AuthorityState::kPrepared);
  return prepared == nullptr ? "" : prepared->key.key_id;
}

// The whole kid that begins with `prefix`.
absl::StatusOr<std::string> FindKeyId(const std::vector<JwtAuthority>& keys, absl::string_view prefix) {
  if (prefix.size() < kPrefixBytesMin) {
    return absl::InvalidArgumentError(absl::StrCat("\"", prefix, "\" is too short for a kid: give its first ",
                                                   kPrefixBytesMin, " characters or more"));
  }
  std::string found;
  for (const JwtAuthority& key : keys) {
    if (!absl::StartsWith(key.key.key_id, prefix)) continue;
    if (!found.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", prefix, "\" fits several JWT keys: give more of it"));
    }
    found = key.key.key_id;
  }
  if (!found.empty()) return found;
  return absl::NotFoundError(
      absl::StrCat("no JWT key's kid begins with \"", prefix, "\": `meshca jwt keys --all` shows them"));
}

}  // namespace

JwtKeyDriver::JwtKeyDriver(Parts parts)
    : authorities_(*parts.authorities), evidence_(*parts.evidence), policy_(parts.policy) {}

absl::Time JwtKeyDriver::Tick(absl::Time now) {
  MutexLock lock(turn_);
  for (int step = 0; step < kJwtStepsMax; ++step) {
    const absl::StatusOr<absl::Time> believed = authorities_.clock_watch().BelievedNow();
    if (!believed.ok()) return now + kLookAtFrozenClock;
    const absl::Duration since_boot = authorities_.clock().SinceBoot();
    if (since_boot < next_look_) return now + (next_look_ - since_boot);
    const View view = Look(*believed);
    Keep(view);
    if (view.decision.act == Act::kWait) {
      KeepError(absl::OkStatus());
      if (!judged_key_id_.empty()) return now + std::max(next_look_ - since_boot, kLookEvery);
      return now + std::clamp(view.decision.due - *believed, kLookEvery, kSleepMax);
    }
    next_look_ = -absl::InfiniteDuration();
    if (const absl::Status taken = TakeStep(view); !taken.ok()) {
      KeepError(taken);
      return now + kJwtAgainAfterError;
    }
  }
  return now + kLookEvery;
}

JwtKeyDriver::View JwtKeyDriver::Look(absl::Time now) {
  const absl::Duration began = authorities_.clock().SinceBoot();
  View view;
  view.facts.now = now;
  view.facts.keys = authorities_.Current()->jwt_authorities;
  const std::string prepared = PreparedId(view.facts.keys);
  if (prepared != judged_key_id_) whole_since_ = absl::InfiniteDuration();
  judged_key_id_ = prepared;
  if (!prepared.empty()) {
    view.facts.subscribers = evidence_.List();
    view.evidence = JudgeJwtKey(view.facts, policy_.evidence);
    whole_since_ = view.evidence.Satisfied() ? std::min(whole_since_, began) : absl::InfiniteDuration();
    const absl::Duration ended = authorities_.clock().SinceBoot();
    next_look_ = ended + std::clamp((ended - began) * kJwtIdleFactor, kLookEvery, kLookAtLeastEvery);
  }
  // whole_since_ as the wall clock would have put it: a jump of that moves no rotation.
  const absl::Time satisfied_since = now - (authorities_.clock().SinceBoot() - whole_since_);
  view.decision = DecideNextJwtAct(view.facts, view.evidence, satisfied_since, policy_);
  return view;
}

absl::Status JwtKeyDriver::TakeStep(const View& view) {
  const absl::Time now = view.facts.now;
  const std::string& key_id = view.decision.key_id;
  const TrustDomain& domain = authorities_.options().trust_domain;
  switch (view.decision.act) {
    case Act::kWait: return absl::OkStatus();
    case Act::kPublish:
      return Publish(now, kMeshcaItself,
                     absl::StrCat("the one that signs has done so for ", absl::FormatDuration(policy_.rotate_every)));
    case Act::kActivate: {
      const ChangeReason reason = {
          kMeshcaItself, absl::StrCat(view.evidence.subscribers, " consumers of JWT keys judged, none behind"), now};
      return authorities_.Change(
          [&](const AuthoritiesAndBundle& state) { return ActivateJwtKey(state, domain, key_id, reason); });
    }
    case Act::kRetire: {
      const ChangeReason reason = {kMeshcaItself, "the last token that it signed has ended", now};
      return authorities_.Change(
          [&](const AuthoritiesAndBundle& state) { return RetireJwtKey(state, domain, key_id, reason); });
    }
  }
  return absl::OkStatus();
}

absl::Status JwtKeyDriver::Publish(absl::Time now, const std::string& actor, absl::string_view why) {
  MESHCA_ASSIGN_OR_RETURN(const StoredJwtAuthority row, authorities_.maker().MakeJwtKey(now));
  next_look_ = -absl::InfiniteDuration();
  return authorities_.Change([&](const AuthoritiesAndBundle& state) {
    return PublishJwtKey(state, authorities_.options().trust_domain, row, {actor, std::string(why), now});
  });
}

absl::Status JwtKeyDriver::Rotate(const std::string& actor) {
  MutexLock lock(turn_);
  const absl::StatusOr<absl::Time> now = authorities_.clock_watch().BelievedNow();
  if (!now.ok()) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat("the JWT keys are frozen: ", now.status().message())),
                      "JWT_ROTATION_FROZEN");
  }
  MESHCA_RETURN_IF_ERROR(Publish(*now, actor, "ordered"));
  // So that the answer already says whom it waits for.
  Keep(Look(*now));
  next_look_ = -absl::InfiniteDuration();
  return absl::OkStatus();
}

absl::Status JwtKeyDriver::Taint(absl::string_view key_id_prefix, const std::string& actor) {
  MutexLock lock(turn_);
  const std::vector<JwtAuthority> keys = authorities_.Current()->jwt_authorities;
  MESHCA_ASSIGN_OR_RETURN(const std::string key_id, FindKeyId(keys, key_id_prefix));
  // A stolen key does not wait for a clock that nobody believes.
  const absl::Time now = authorities_.clock().LikelyNow();
  const JwtAuthority* const active = FindInState(keys, AuthorityState::kActive);
  std::optional<StoredJwtAuthority> next;
  if (active != nullptr && active->key.key_id == key_id && PreparedId(keys).empty()) {
    MESHCA_ASSIGN_OR_RETURN(next, authorities_.maker().MakeJwtKey(now));
  }
  next_look_ = -absl::InfiniteDuration();
  return authorities_.Change([&](const AuthoritiesAndBundle& state) {
    return TaintJwtKey(state, authorities_.options().trust_domain, key_id, next,
                       {actor, "its private key is taken for stolen", now});
  });
}

void JwtKeyDriver::Keep(const View& view) {
  MutexLock lock(mutex_);
  last_key_id_ = PreparedId(view.facts.keys);
  last_.evidence = view.evidence;
  last_.waiting_for = view.decision.waiting_for;
}

void JwtKeyDriver::KeepError(const absl::Status& status) {
  MutexLock lock(mutex_);
  const std::string error(status.message());
  if (!error.empty() && error != last_.error) LogError("rotation of the JWT keys", {{"error", error}});
  last_.error = error;
}

JwtKeysReport JwtKeyDriver::Report() const {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = authorities_.Current();
  const std::string prepared = PreparedId(snapshot->jwt_authorities);
  JwtKeysReport report;
  {
    MutexLock lock(mutex_);
    report.error = last_.error;
    if (!prepared.empty() && prepared == last_key_id_) report = last_;
  }
  if (!prepared.empty() && report.waiting_for.empty())
    report.waiting_for = "the consumers of JWT keys are being counted";
  report.keys = snapshot->jwt_authorities;
  if (snapshot->jwt_signer != nullptr) report.signing_key_id = snapshot->jwt_signer->key_id;
  report.why_not_signing = snapshot->why_no_jwt;
  report.frozen = authorities_.clock_watch().FindingNow();
  report.next_rotation = NextJwtRotation(snapshot->jwt_authorities, policy_);
  return report;
}

}  // namespace meshca
