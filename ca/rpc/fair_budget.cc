#include "ca/rpc/fair_budget.h"

#include <algorithm>

namespace meshca::rpc {

void FairBudget::Part(size_t whole, size_t source_max) {
  const auto part = [whole](size_t of) { return std::max<size_t>(1, whole / of); };
  whole_ = std::max<size_t>(1, whole);
  share_ = std::min(std::max<size_t>(1, source_max), part(2));
  for_all_ = std::max<size_t>(1, whole_ - whole_ / 4);
  little_ = std::min(part(256), share_);
}

Fit FairBudget::Take(std::atomic<size_t>& held, size_t amount, bool privileged) {
  // First what is the source's own: a flood of one that has used its share up touches nothing that others count by.
  const size_t held_then = held.fetch_add(amount, std::memory_order_relaxed) + amount;
  if (held_then > share_) {
    held.fetch_sub(amount, std::memory_order_relaxed);
    return Fit::kShareUsed;
  }
  const size_t used_then = used_.fetch_add(amount, std::memory_order_relaxed) + amount;
  if (used_then <= for_all_ || used_then <= (privileged ? whole_ + whole_ / 8 : held_then <= little_ ? whole_ : 0)) {
    return Fit::kFits;
  }
  GiveBack(held, amount);
  return Fit::kNoneLeft;
}

void FairBudget::GiveBack(std::atomic<size_t>& held, size_t amount) {
  held.fetch_sub(amount, std::memory_order_relaxed);
  used_.fetch_sub(amount, std::memory_order_relaxed);
}

}  // namespace meshca::rpc
