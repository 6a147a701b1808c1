#include "cli/server/shared_reissuer.h"

#include <algorithm>

namespace meshca::cli {
namespace {

// Neither waits for the other to have nothing left.
constexpr double kShareMin = 0.1;

}  // namespace

KeyReissuer::Progress SharedReissuer::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) {
  const uint64_t of_agents = agents_.CountStale(stale);
  if (of_agents == 0) {
    const Progress own = own_.Reissue(stale, per_second);
    own_left_ = own.left;
    return own;
  }
  // At the first call nobody knows how many keys this process holds: then each gets half.
  const uint64_t of_own = own_left_ == 0 ? of_agents : own_left_.load();
  const double share =
      std::clamp(static_cast<double>(of_agents) / static_cast<double>(of_agents + of_own), kShareMin, 1 - kShareMin);
  const Progress own = own_.Reissue(stale, per_second * (1 - share));
  own_left_ = own.left;
  return {own.left + agents_.Reissue(stale, own.left == 0 ? per_second : per_second * share)};
}

}  // namespace meshca::cli
