#include "ca/subscribers/instance_room.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr char kAdvice[] =
    "A proxy keeps its node id when it reconnects; `meshca subscriber list` shows the instances, `meshca subscriber "
    "evict` "
    "makes room for those that are gone";

}  // namespace

void InstanceRoom::Refill(Principal& principal, absl::Duration since_boot) const {
  const double minutes = absl::ToDoubleMinutes(since_boot - principal.filled_at);
  principal.fresh = std::min(Burst(), principal.fresh + std::max(0.0, minutes) * Burst());
  principal.filled_at = since_boot;
}

InstanceRoom::Principal& InstanceRoom::Find(const std::string& name, absl::Duration since_boot) {
  const auto [found, is_new] = principals_.try_emplace(name);
  if (is_new) {
    found->second.fresh = Burst();
    found->second.filled_at = since_boot;
  }
  return found->second;
}

absl::Status InstanceRoom::Admit(const Place& place, absl::Duration since_boot) {
  const auto id = ids_.find(place.spiffe_id);
  if (id != ids_.end() && id->second >= limits_.per_id) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat("SDS: ", id->second, " instances of \"", place.spiffe_id,
                                                  "\" are connected, or remembered until their certificates end, and "
                                                  "that is the most. ",
                                                  kAdvice)),
        "TOO_MANY_INSTANCES");
  }
  Principal& principal = Find(place.principal, since_boot);
  if (principal.count >= limits_.per_principal) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat(
            "SDS: ", principal.count, " instances of ", place.principal,
            " are connected, or remembered until their certificates end, under whatever node ids, and that is the most "
            "(rotation.instances_per_caller_max). ",
            kAdvice)),
        "TOO_MANY_INSTANCES");
  }
  Refill(principal, since_boot);
  if (principal.fresh < 1) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          "SDS: ", place.principal, " makes new instances too fast: after ",
                          static_cast<size_t>(Burst()), " at once it may make as many a minute. ", kAdvice)),
                      "INSTANCES_TOO_FAST");
  }
  principal.fresh -= 1;
  return absl::OkStatus();
}

void InstanceRoom::Count(Seat& seat, const std::optional<Place>& now) {
  const Seat before = std::exchange(seat, {});
  if (now.has_value()) {
    seat.id_ = &*ids_.try_emplace(now->spiffe_id).first;
    ++seat.id_->second;
    // One that a restart brings back has used nothing up.
    seat.principal_ = &Find(now->principal, absl::ZeroDuration());
    ++seat.principal_->count;
  }
  if (before.id_ == nullptr) return;
  if (--before.id_->second == 0) ids_.erase(before.id_->first);
  --before.principal_->count;
}

void InstanceRoom::Tidy(absl::Duration since_boot) {
  for (auto principal = principals_.begin(); principal != principals_.end();) {
    const auto each = principal++;
    if (each->second.count > 0) continue;
    Refill(each->second, since_boot);
    if (each->second.fresh >= Burst()) principals_.erase(each);
  }
}

}  // namespace meshca
