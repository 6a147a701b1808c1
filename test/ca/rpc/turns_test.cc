#include "ca/rpc/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meshca::rpc {
namespace {

class ATarget final : public EventTarget {
 public:
  explicit ATarget(const void* taker) : taker_(taker) {}
  void OnEvents(uint32_t) override {}
  const void* Taker() const override { return taker_ != nullptr ? taker_ : this; }

 private:
  const void* const taker_;
};

// Each letter of `ready` is a source, '.' a target of its own. The places in `ready`, in the order of the turns.
std::vector<size_t> Order(absl::string_view ready, size_t first = 0) {
  static const char kSources[128] = {};
  std::deque<ATarget> targets;
  std::vector<epoll_event> events;
  for (const char source : ready) {
    epoll_event& event = events.emplace_back();
    event.events = EPOLLIN;
    event.data.ptr = static_cast<EventTarget*>(
        &targets.emplace_back(source == '.' ? nullptr : &kSources[static_cast<unsigned char>(source)]));
  }
  Turns turns;
  std::vector<size_t> order;
  for (const Turns::Ready& one : turns.Arrange(events, first)) {
    EXPECT_EQ(one.events, static_cast<uint32_t>(EPOLLIN));
    for (size_t i = 0; i < targets.size(); ++i) {
      if (&targets[i] == one.target) order.push_back(i);
    }
  }
  return order;
}

using testing::ElementsAre;

TEST(Turns, WhoIsAloneComesAtOnce) { EXPECT_THAT(Order("a"), ElementsAre(0)); }

TEST(Turns, TheOrderStaysWhereEachSourceHasOne) { EXPECT_THAT(Order("cab."), ElementsAre(0, 1, 2, 3)); }

TEST(Turns, SourcesAlternate) { EXPECT_THAT(Order("aaaabab"), ElementsAre(0, 4, 1, 6, 2, 3, 5)); }

TEST(Turns, WhatHasNoSourceHasATurnOfItsOwn) { EXPECT_THAT(Order("aaa.a."), ElementsAre(0, 3, 5, 1, 2, 4)); }

TEST(Turns, OfOneSourceTheFirstIsWhereItIsToBegin) { EXPECT_THAT(Order("aaba", 3), ElementsAre(3, 2, 0, 1)); }

TEST(Turns, ItsMemoryIsUsedAgain) {
  Turns turns;
  ATarget one(nullptr);
  epoll_event event{};
  event.data.ptr = static_cast<EventTarget*>(&one);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(turns.Arrange(std::vector<epoll_event>(5, event), 2).size(), 5u);
    EXPECT_EQ(turns.Arrange(std::vector<epoll_event>(1, event), 0).size(), 1u);
  }
}

}  // namespace
}  // namespace meshca::rpc
