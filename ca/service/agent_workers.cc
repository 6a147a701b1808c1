#include "ca/service/agent_workers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kThreads = 4;
// Every agent of a large mesh may come back at once; each waits for one read of the database.
constexpr size_t kPlaces = 20'000;

}  // namespace

AgentWorkers::AgentWorkers()
    : pool_({.threads = kThreads,
             .places_max = kPlaces,
             .places_per_source_max = kPerNodeMax,
             .what = "requests of agents"}) {}

absl::Status AgentWorkers::Submit(absl::string_view node, FairPool::Work work) {
  // Held until the work is in the pool: a pool that has stopped would run it here, on a thread that must not wait.
  MutexLock lock(mutex_);
  if (closed_) return WithReason(absl::UnavailableError("the CA is shutting down; try again"), "SHUTTING_DOWN");
  absl::StatusOr<FairPool::Place> place = pool_.Admit(node);
  if (place.ok()) {
    pool_.Submit(*std::move(place), std::move(work));
    return absl::OkStatus();
  }
  if (ReasonOf(place.status()) == "AUTHENTICATION_SHARE_USED") {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat("node ", node, " has ", kPerNodeMax,
                                                                " requests waiting, the most that one node may have; "
                                                                "ask again when some are answered")),
                      "NODE_SHARE_USED");
  }
  return WithReason(absl::ResourceExhaustedError("too many requests of agents at once; try again"), "BUSY");
}

void AgentWorkers::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  pool_.Stop();
}

}  // namespace meshca
