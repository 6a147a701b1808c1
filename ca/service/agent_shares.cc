#include "ca/service/agent_shares.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Whoever was not heard of for so long has all of its share again.
constexpr absl::Duration kIdle = absl::Seconds(20);
static_assert(AgentShares::kRenewalsBurst / AgentShares::kRenewalsPerSecond < 20);

}  // namespace

AgentShares::SignPlace& AgentShares::SignPlace::operator=(SignPlace&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  shares_ = std::exchange(other.shares_, nullptr);
  node_ = std::move(other.node_);
  own_alone_ = other.own_alone_;
  return *this;
}

void AgentShares::SignPlace::GiveBack() {
  AgentShares* const shares = std::exchange(shares_, nullptr);
  if (shares == nullptr) return;
  MutexLock lock(shares->mutex_);
  // A node with calls under way is never forgotten.
  Node& node = shares->nodes_.find(node_)->second;
  --(own_alone_ ? node.own_calls : node.sign_calls);
}

AgentShares::Node& AgentShares::NodeOf(const std::string& node, absl::Duration now) {
  if (nodes_.size() >= forget_at_ && !nodes_.contains(node)) ForgetIdle(now);
  Node& found = nodes_[node];
  found.used_at = now;
  return found;
}

void AgentShares::ForgetIdle(absl::Duration now) {
  absl::erase_if(nodes_, [now](const auto& one) {
    const Node& node = one.second;
    return node.sign_calls == 0 && node.own_calls == 0 && node.used_at + kIdle <= now;
  });
  forget_at_ = std::max<size_t>(1024, 2 * nodes_.size());
}

absl::StatusOr<AgentShares::SignPlace> AgentShares::TakeSignPlace(const std::string& node, bool own_alone,
                                                                  absl::Duration now) {
  MutexLock lock(mutex_);
  Node& found = NodeOf(node, now);
  int& calls = own_alone ? found.own_calls : found.sign_calls;
  const int calls_max = own_alone ? 1 : kSignCallsMax;
  if (calls >= calls_max) {
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat("sign: ", calls, own_alone ? " call for the agent's own certificate" : " calls",
                                       " of node ", node, own_alone ? " is" : " are",
                                       " under way, the most that one node may have; call again when one is answered")),
                      "SIGN_SHARE_USED");
  }
  ++calls;
  return SignPlace(this, node, own_alone);
}

bool AgentShares::TakeRenewal(const std::string& node, absl::Duration now) {
  MutexLock lock(mutex_);
  Node& found = NodeOf(node, now);
  const double passed = absl::ToDoubleSeconds(std::min(now - found.filled_at, kIdle));
  found.renewals_left = std::min(kRenewalsBurst, found.renewals_left + passed * kRenewalsPerSecond);
  found.filled_at = now;
  if (found.renewals_left < 1) return false;
  found.renewals_left -= 1;
  return true;
}

void AgentShares::RememberServed(const AgentCaller& agent, uint64_t verdicts, absl::Duration now) {
  MutexLock lock(mutex_);
  Node& found = NodeOf(agent.node, now);
  found.served_sha256 = agent.identity.presented->sha256;
  found.served_verdicts = verdicts;
  found.served_until = now + kVerdictLasts;
}

bool AgentShares::MayBeServed(const AgentCaller& agent, uint64_t verdicts, absl::Duration now) {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(agent.node);
  return found != nodes_.end() && now < found->second.served_until && found->second.served_verdicts == verdicts &&
         found->second.served_sha256 == agent.identity.presented->sha256;
}

size_t AgentShares::nodes() const {
  MutexLock lock(mutex_);
  return nodes_.size();
}

}  // namespace meshca
