#include "cli/terminal/progress_bar.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace meshca::cli {

std::string ProgressBar(double part, size_t cells) {
  // Rounded down: the last step may take hours, and a full bar that goes on is a lie.
  const double inside = std::clamp(part, 0.0, 1.0);
  const size_t filled = static_cast<size_t>(inside * static_cast<double>(cells));
  return absl::StrFormat("[%s%s] %3d %%", std::string(filled, '#'), std::string(cells - filled, '-'),
                         static_cast<int>(inside * 100));
}

}  // namespace meshca::cli
