// How much of what all agents share each node may have at once.
#ifndef MESHCA_CA_SERVICE_AGENT_SHARES_H_
#define MESHCA_CA_SERVICE_AGENT_SHARES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/service/agent_gate.h"

namespace meshca {

// The pipeline's queues are first come, first served. So each node has few places in them, and few of its renewals go
// before what others ask for: which certificate is replaced is the agent's word alone. Times are since boot.
// Thread-safe; never blocks.
class AgentShares {
 public:
  // 128 requests: what a node needs to have one message signed while the next is on its way.
  static constexpr int kSignCallsMax = 2;
  // So many renewals of one node may go first at once, and so many more each second: a node that renews everything at
  // half of its life needs far fewer, and what is beyond goes with the first ones.
  static constexpr double kRenewalsBurst = 256;
  static constexpr double kRenewalsPerSecond = 16;
  // An agent that was judged is believed for so long, unless something was revoked since.
  static constexpr absl::Duration kVerdictLasts = absl::Seconds(1);

  // One Sign call of a node, until it ends or is given back. Moves. The shares outlive it.
  class SignPlace {
   public:
    SignPlace(SignPlace&& other) noexcept { *this = std::move(other); }
    SignPlace& operator=(SignPlace&& other) noexcept;
    ~SignPlace() { GiveBack(); }
    void GiveBack();

   private:
    friend class AgentShares;
    SignPlace(AgentShares* shares, std::string node, bool own_alone)
        : shares_(shares), node_(std::move(node)), own_alone_(own_alone) {}
    AgentShares* shares_ = nullptr;  // null: given back
    std::string node_;
    bool own_alone_ = false;
  };

  // `own_alone`: one request, for the agent's own certificate. Such a call has a place beside the others, because the
  // agent makes it whatever else is under way. ResourceExhausted (SIGN_SHARE_USED) says how many are under way.
  absl::StatusOr<SignPlace> TakeSignPlace(const std::string& node, bool own_alone, absl::Duration now);

  // May one more renewal of `node` go before what is asked for for the first time?
  bool TakeRenewal(const std::string& node, absl::Duration now);

  // `verdicts`: AgentRegistry::verdicts() before the agent was judged and may be served.
  void RememberServed(const AgentCaller& agent, uint64_t verdicts, absl::Duration now);
  // Was this certificate judged so just now, and nothing revoked since (`verdicts`: those of now)?
  bool MayBeServed(const AgentCaller& agent, uint64_t verdicts, absl::Duration now);

  size_t nodes() const;

 private:
  struct Node {
    int sign_calls = 0;
    int own_calls = 0;
    double renewals_left = kRenewalsBurst;
    absl::Duration filled_at = -absl::InfiniteDuration();
    std::string served_sha256;  // the certificate that was judged last; "": none
    uint64_t served_verdicts = 0;
    absl::Duration served_until = -absl::InfiniteDuration();
    absl::Duration used_at = -absl::InfiniteDuration();
  };
  Node& NodeOf(const std::string& node, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetIdle(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  absl::node_hash_map<std::string, Node> nodes_ ABSL_GUARDED_BY(mutex_);  // half of a table's slots are empty
  size_t forget_at_ ABSL_GUARDED_BY(mutex_) = 1024;  // so many nodes: those that are idle are forgotten
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_SHARES_H_
