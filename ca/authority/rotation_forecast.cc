#include "ca/authority/rotation_forecast.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/retire_not_before.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

// Subscribers answer within this, where they answer at all.
constexpr absl::Duration kAnswer = absl::Seconds(1);

RootRotation ImagineRotation(const AuthoritySnapshot& snapshot, absl::Time now) {
  RootRotation imagined;
  imagined.bundle_sequence = snapshot.bundle->sequence_number + 1;
  imagined.published_at = now;
  imagined.step_at = now;
  if (snapshot.issuing != nullptr) imagined.old_root_id = snapshot.issuing->root_id;
  return imagined;
}

// When the last exported authority under the present root ends; InfinitePast: there is none.
absl::Time LastExportedEnds(const RotationFacts& facts) {
  absl::Time last = absl::InfinitePast();
  for (const ExportedFact& exported : facts.exported) {
    if (exported.root_id == facts.rotation.old_root_id) last = std::max(last, exported.ends);
  }
  return last;
}

void WarnOfExported(const RotationFacts& facts, RotationForecast& forecast) {
  for (const ExportedFact& exported : facts.exported) {
    if (exported.root_id != facts.rotation.old_root_id || exported.ends <= facts.now) continue;
    forecast.warnings.push_back(absl::StrCat(
        ExportedName(exported), " was exported and may sign elsewhere under the present root until ",
        UtcText(exported.ends), ": the root is not retired before, unless by `meshca root retire --force`"));
  }
}

// `drained`: what lives under the present root without being known lives no longer than that.
std::vector<RotationForecast::Step> EstimateSteps(const RotationEvidence& at_risk, const RotationWatch& watch,
                                                  absl::Time drained, absl::Time now) {
  const EvidencePolicy& policy = watch.policy();
  const absl::Duration others = std::max(absl::ZeroDuration(), at_risk.until - now);
  const uint64_t connected = at_risk.connected_behind;
  const uint64_t left = at_risk.subscribers_behind - connected;
  const absl::Duration reissue = absl::Seconds(static_cast<double>(connected) / watch.reissue_per_second()) + kAnswer;
  // Between the publication and the activation the old root goes on signing for those who take nothing from here.
  const absl::Duration leaves = at_risk.leaves_behind > 0 ? policy.leaf_lifetime + policy.skew : kAnswer;
  const absl::Duration drain = std::max(leaves, drained - now);
  return {
      {RotationStep::kPrepare, "a new root is made, and its key certified by the present one", absl::ZeroDuration()},
      {RotationStep::kDistribute,
       absl::StrCat("both roots go to ", connected, " connected subscribers; ", left, " that have left and ",
                    at_risk.leaves_behind, " certificates of others count until they end or are renewed"),
       std::max(others, kAnswer) + policy.settle},
      {RotationStep::kReissue,
       absl::StrCat("subscribers get new keys under the new root, ", watch.reissue_per_second(), " a second"), reissue},
      {RotationStep::kDrain, "certificates under the present root end or are renewed", drain + policy.settle},
      {RotationStep::kRetire, "the present root leaves the bundle, and its key is destroyed", kAnswer + policy.settle},
  };
}

}  // namespace

absl::StatusOr<RotationForecast> ForecastRotation(const RotationWatch& watch, const AuthoritySnapshot& snapshot,
                                                  const std::string& plugged_in_folder, AuthorityStore& store,
                                                  absl::Time now) {
  RotationFacts facts = watch.GatherFacts(ImagineRotation(snapshot, now), now);
  // The new root would be certified wherever the present one's key is at hand.
  facts.cross_certified = plugged_in_folder.empty();
  RotationForecast forecast;
  MESHCA_ASSIGN_OR_RETURN(forecast.at_risk, watch.GatherEvidence(EvidenceJudge::For::kActivation, facts));
  if (watch.advisor() != nullptr) forecast.warnings = watch.advisor()->NeededRestarts(facts.rotation);
  MESHCA_ASSIGN_OR_RETURN(const auto live, store.CountLiveLeaves(now));
  for (const auto& [id, count] : live) forecast.live_leaves += count;
  forecast.subscribers = forecast.at_risk.subscribers;
  const absl::StatusOr<absl::Time> retired_from = RetireNotBeforeOf(facts.rotation, snapshot, store);
  // What the plan can say of the other steps it says all the same.
  if (absl::IsDataLoss(retired_from.status())) {
    forecast.warnings.push_back(absl::StrCat("no root can be retired: ", retired_from.status().message()));
  } else {
    MESHCA_RETURN_IF_ERROR(retired_from.status());
  }
  const absl::Time not_before = retired_from.value_or(absl::InfinitePast());
  forecast.steps = EstimateSteps(forecast.at_risk, watch, std::max(LastExportedEnds(facts), not_before), now);
  WarnOfExported(facts, forecast);
  if (now < not_before) forecast.warnings.push_back(WhyNotRetiredBefore(not_before));
  for (const RotationForecast::Step& step : forecast.steps) forecast.total += step.about;
  if (!plugged_in_folder.empty()) {
    forecast.warnings.push_back(
        absl::StrCat("the root is plugged in: a rotation begins by itself when a set with a new root stands in ",
                     plugged_in_folder));
  }
  if (snapshot.rotation.has_value() && !snapshot.rotation->Ended()) {
    forecast.warnings.push_back(absl::StrCat("rotation ", snapshot.rotation->number, " runs already, at ",
                                             RotationStepName(snapshot.rotation->step)));
  }
  return forecast;
}

}  // namespace meshca
