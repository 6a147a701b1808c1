#include "ca/authority/root_rotation.h"

namespace meshca {

absl::string_view RotationStepName(RotationStep step) {
  switch (step) {
    case RotationStep::kPrepare: return "prepare";
    case RotationStep::kDistribute: return "distribute";
    case RotationStep::kReissue: return "reissue";
    case RotationStep::kDrain: return "drain";
    case RotationStep::kRetire: return "retire";
    case RotationStep::kDone: return "done";
  }
  return "unknown";
}

}  // namespace meshca
