#include "ca/authority/root_rotation.h"

#include <limits>

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

absl::Time RootRotation::WaitsForever() { return absl::FromUnixMicros(std::numeric_limits<int64_t>::max() - 1); }

}  // namespace meshca
