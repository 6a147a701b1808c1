// How what a process can hold at once, bytes or open calls, is parted among the sources that use it.
#ifndef MESHCA_CA_RPC_FAIR_BUDGET_H_
#define MESHCA_CA_RPC_FAIR_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace meshca::rpc {

// Whether something may be held, and if not, what stands against it.
enum class Fit : uint8_t {
  kFits,
  kConnectionFull,  // its connection holds all that one may
  kShareUsed,       // its source holds all that one may
  kNoneLeft,        // what is left is kept for sources that hold little
};

// No source has more than half of the budget, so no source uses it up. The last quarter is for sources that hold at
// most a 256th of it, so two or three of those that take their half leave something for everybody else. Who comes by a
// privileged listener may go an eighth beyond the whole.
//
// Two atomic additions to take something, none where the source's share is used up. Thread-safe once Part was called.
class FairBudget {
 public:
  // Before it is used: the whole, and the most that one source may have if that is less than half. Each at least 1.
  void Part(size_t whole, size_t source_max);

  // Takes `amount` for a source that holds `held` of this budget by now; or nothing, and says why.
  Fit Take(std::atomic<size_t>& held, size_t amount, bool privileged);
  void GiveBack(std::atomic<size_t>& held, size_t amount);

  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t whole() const { return whole_; }
  // The most that one source may have.
  size_t share() const { return share_; }
  // What is little.
  size_t little() const { return little_; }

 private:
  size_t whole_ = 1;
  size_t share_ = 1;
  size_t for_all_ = 1;  // beyond this, what is left is for sources that hold little
  size_t little_ = 1;
  std::atomic<size_t> used_{0};
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_FAIR_BUDGET_H_
