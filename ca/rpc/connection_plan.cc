#include "ca/rpc/connection_plan.h"

#include <algorithm>

namespace meshca::rpc {
namespace {

// `numerator` eighths of `whole`, at least 1.
uint32_t Eighths(uint64_t whole, uint64_t numerator) {
  return static_cast<uint32_t>(std::max<uint64_t>(1, whole * numerator / 8));
}

}  // namespace

ConnectionPlan PlanConnections(uint64_t descriptors, const GlobalLimits& global, const SourceLimits& source) {
  // A limit so low that nothing would be left is met all the same: accept() fails then, which is counted and logged.
  const uint64_t kept = global.descriptors_kept;
  const uint64_t available = std::max<uint64_t>(descriptors, 2 * kept) - kept;
  ConnectionPlan plan;
  plan.privileged_max = std::min<uint32_t>(std::max<uint32_t>(1, global.privileged_connections_max),
                                           Eighths(std::min<uint64_t>(available, UINT32_MAX), 1));
  plan.privileged_per_source_max = Eighths(plan.privileged_max, 4);
  plan.public_max = static_cast<uint32_t>(
      std::clamp<uint64_t>(available - plan.privileged_max, 1, std::max<uint32_t>(1, global.connections_max)));
  plan.kind_max = Eighths(plan.public_max, 6);
  plan.kind_own = Eighths(plan.public_max, 1);
  plan.certified_per_address_max = Eighths(plan.public_max, 6);
  // More than half, because one uid or one balancer may stand for a whole node; who comes to a full house takes the
  // place of the largest crowd's idlest (Residents), so that even this much shuts nobody out.
  plan.per_source_max = std::min(std::max<uint32_t>(1, source.connections_max), Eighths(plan.public_max, 5));
  return plan;
}

}  // namespace meshca::rpc
