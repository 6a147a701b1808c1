#include "ca/agents/permit_share.h"

#include <algorithm>

namespace meshca {
namespace {

// What one Sign message takes. A grant is at least that, where so many are wanted and left: a thousand permits of one
// certificate would be a thousand messages.
constexpr uint64_t kGrantMin = 64;
// How much of a second's budget may be granted at once.
constexpr double kFirst = 0.25;

}  // namespace

void PermitShare::Settle(const std::vector<Want>& wants, absl::Duration since_boot) {
  absl::flat_hash_map<AgentStreamId, Given> still;
  for (const Want& want : wants) {
    const auto found = given_.find(want.stream);
    if (found == given_.end() || found->second.until <= since_boot) continue;
    Given given = found->second;
    const uint64_t done = given.wanted > want.certificates ? given.wanted - want.certificates : 0;
    if (done >= given.certificates) continue;
    given.certificates -= done;
    given.wanted = want.certificates;
    still.emplace(want.stream, given);
  }
  given_ = std::move(still);
}

void PermitShare::Refill(double per_second, absl::Duration since_boot) {
  const double second = std::max(1.0, per_second * absl::ToDoubleSeconds(kWithin));
  const absl::Duration passed = since_boot - filled_at_;
  filled_at_ = since_boot;
  // Time in which nobody was in want is not saved up: then, as at first, a little may come at once.
  left_ = passed > kWithin ? std::max(1.0, second * kFirst)
                           : std::min(second, left_ + per_second * absl::ToDoubleSeconds(passed));
  while (!past_.empty() && past_.front().at + kWithin <= since_boot) past_.pop_front();
  double granted = 0;
  for (const Past& past : past_) granted += static_cast<double>(past.certificates);
  left_ = std::min(left_, second - granted);
}

std::vector<PermitShare::Grant> PermitShare::Share(std::vector<Want> wants, double per_second,
                                                   absl::Duration since_boot) {
  Refill(per_second, since_boot);
  Settle(wants, since_boot);
  std::sort(wants.begin(), wants.end(), [](const Want& a, const Want& b) { return a.stream < b.stream; });
  const auto next = std::upper_bound(wants.begin(), wants.end(), last_,
                                     [](AgentStreamId last, const Want& want) { return last < want.stream; });
  std::rotate(wants.begin(), next, wants.end());
  if (wants.empty() || left_ < 1) return {};
  const uint64_t fair = std::max<uint64_t>(kGrantMin, static_cast<uint64_t>(left_) / wants.size());
  std::vector<Grant> grants;
  for (const Want& want : wants) {
    if (left_ < 1) break;
    Given& given = given_[want.stream];
    if (want.certificates <= given.certificates) continue;
    const uint64_t granted = std::min({want.certificates - given.certificates, fair, static_cast<uint64_t>(left_)});
    given.certificates += granted;
    given.wanted = want.certificates;
    given.until = since_boot + kWithin + kReportWait;
    left_ -= static_cast<double>(granted);
    past_.push_back({since_boot, granted});
    last_ = want.stream;
    grants.push_back({want.stream, granted});
  }
  return grants;
}

}  // namespace meshca
