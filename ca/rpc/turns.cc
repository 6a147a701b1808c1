#include "ca/rpc/turns.h"

#include <algorithm>

namespace meshca::rpc {

std::span<const Turns::Ready> Turns::Arrange(std::span<const epoll_event> ready, size_t first) {
  given_.clear();
  taken_.clear();
  uint32_t last_turn = 0;
  for (size_t i = 0; i < ready.size(); ++i) {
    const epoll_event& event = ready[(first + i) % ready.size()];
    auto* const target = static_cast<EventTarget*>(event.data.ptr);
    // Most rounds have one event: nobody's turn has to be looked up.
    const uint32_t turn = ready.size() == 1 ? 0 : taken_[target->Taker()]++;
    last_turn = std::max(last_turn, turn);
    given_.push_back({target, event.events, turn});
  }
  if (last_turn == 0) return given_;
  // By counting: where the events of each turn begin, then each to its place.
  begins_.assign(last_turn + 2, 0);
  for (const Ready& one : given_) ++begins_[one.turn + 1];
  for (size_t turn = 1; turn < begins_.size(); ++turn) begins_[turn] += begins_[turn - 1];
  arranged_.resize(given_.size());
  for (const Ready& one : given_) arranged_[begins_[one.turn]++] = one;
  return arranged_;
}

}  // namespace meshca::rpc
