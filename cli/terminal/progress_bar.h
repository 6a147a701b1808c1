// A bar that fills.
#ifndef MESHCA_CLI_TERMINAL_PROGRESS_BAR_H_
#define MESHCA_CLI_TERMINAL_PROGRESS_BAR_H_

#include <cstddef>
#include <string>

namespace meshca::cli {

// "[#####-----]  50 %": `part` of the way, from 0 to 1 (what lies outside is cut), in `cells` cells. It is full, and
// says 100 %, for 1 alone.
std::string ProgressBar(double part, size_t cells);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_PROGRESS_BAR_H_
