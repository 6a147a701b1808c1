#include "cli/server/rotation_events.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca::cli {
namespace {

struct StepText {
  const char* reason;
  const char* note;
};

StepText TextOf(RotationStep step) {
  switch (step) {
    case RotationStep::kPrepare: return {"RootRotationPrepare", "a new root is made"};
    case RotationStep::kDistribute:
      return {"RootRotationDistribute", "both roots are published; it goes on when everybody holds both"};
    case RotationStep::kReissue:
      return {"RootRotationReissue", "the new root signs; certificates are renewed under it"};
    case RotationStep::kDrain:
      return {"RootRotationDrain", "it goes on when no certificate under the old root is left"};
    case RotationStep::kRetire: return {"RootRotationRetire", "the old root is no longer published"};
    case RotationStep::kDone: return {"RootRotationDone", "the new root alone is trusted"};
  }
  return {"RootRotation", "a step was taken"};
}

}  // namespace

std::optional<kubernetes::ObjectEvent> RotationEvents::EventOf(const AuthoritySnapshot& snapshot,
                                                               const kubernetes::ObjectReference& regarding) {
  const bool knew = std::exchange(knows_, true);
  const uint64_t number = snapshot.rotation.has_value() ? snapshot.rotation->number : 0;
  const RotationStep step = snapshot.rotation.has_value() ? snapshot.rotation->step : RotationStep::kDone;
  const bool is_news = number != std::exchange(number_, number);
  const bool moved = step != std::exchange(step_, step);
  if (!knew || number == 0 || (!is_news && !moved)) return std::nullopt;
  const RootRotation& rotation = *snapshot.rotation;
  kubernetes::ObjectEvent event;
  event.regarding = regarding;
  // What was forced or is done in an emergency may have cut somebody off.
  event.is_warning = rotation.emergency || !rotation.forced.empty();
  event.reason = TextOf(step).reason;
  event.action = "RotateRoot";
  event.note =
      absl::StrCat("rotation ", number, " of the root, ", RotationStepName(step), ": ", TextOf(step).note,
                   rotation.emergency ? "; an emergency: the old root's key is considered stolen" : "",
                   rotation.rolled_back ? "; it was rolled back" : "", "; `meshca root status` says who is behind");
  return event;
}

}  // namespace meshca::cli
