#include "ca/authn/fair_pool.h"

#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

// A pool of one thread, which is kept busy until Release, so that a test sees in which order what waits is done.
class FairPoolTest : public testing::Test {
 protected:
  void Use(FairPool::Options options) {
    options.threads = 1;
    options.what = "tokens";
    pool_.emplace(std::move(options));
    std::promise<void> busy;
    pool_->Submit(pool_->Admit("the first").value(), [this, &busy] {
      busy.set_value();
      release_.get_future().wait();
    });
    busy.get_future().wait();
  }
  absl::Status Submit(const std::string& source) {
    absl::StatusOr<FairPool::Place> place = pool_->Admit(source);
    if (!place.ok()) return place.status();
    pool_->Submit(*std::move(place), [this, source] { order_.push_back(source); });
    return absl::OkStatus();
  }
  // Lets the thread go on, and returns in which order the rest was done.
  const std::vector<std::string>& Release() {
    release_.set_value();
    pool_->Stop();
    return order_;
  }

  std::promise<void> release_;
  std::vector<std::string> order_;  // by the pool's one thread
  std::optional<FairPool> pool_;
};

TEST_F(FairPoolTest, SourcesTakeTurnsHoweverMuchOneOfThemSent) {
  Use({});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Submit("flood").ok());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Submit("other").ok());
  ASSERT_TRUE(Submit("third").ok());
  EXPECT_EQ(Release(), (std::vector<std::string>{"flood", "other", "third", "flood", "other", "flood", "flood"}));
}

TEST_F(FairPoolTest, ASourceBeyondItsShareIsToldWhatToDoAndOthersAreNotRefused) {
  Use({.places_per_source_max = 2});
  EXPECT_TRUE(Submit("192.0.2.7").ok());
  EXPECT_TRUE(Submit("192.0.2.7").ok());
  EXPECT_THAT(Submit("192.0.2.7"), Refuses(Code::kResourceExhausted, "AUTHENTICATION_SHARE_USED",
                                           "2 tokens from 192.0.2.7 wait to be verified"));
  EXPECT_THAT(Submit("192.0.2.7"), Refuses(Code::kResourceExhausted, "AUTHENTICATION_SHARE_USED",
                                           "retry with backoff, and look there for a client"));
  EXPECT_TRUE(Submit("198.51.100.9").ok());
  EXPECT_EQ(Release().size(), 3u);
}

TEST_F(FairPoolTest, TheLastQuarterIsForSourcesThatHaveNone) {
  Use({.places_max = 8});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Submit("flood").ok()) << i;
  EXPECT_THAT(Submit("flood"), Refuses(Code::kResourceExhausted, "AUTHENTICATION_QUEUE_FULL", "retry with backoff"));
  EXPECT_TRUE(Submit("a").ok());
  EXPECT_THAT(Submit("a"), Refuses(Code::kResourceExhausted, "AUTHENTICATION_QUEUE_FULL", ""));
  EXPECT_TRUE(Submit("b").ok());
  EXPECT_THAT(Submit("c"), Refuses(Code::kResourceExhausted, "AUTHENTICATION_QUEUE_FULL", ""));
  EXPECT_EQ(Release().size(), 7u);
}

TEST_F(FairPoolTest, APlaceIsGivenBackWhenItsWorkHasRunOrItEndsUnused) {
  Use({.places_per_source_max = 1});
  { const FairPool::Place unused = pool_->Admit("a").value(); }
  absl::StatusOr<FairPool::Place> one = pool_->Admit("a");
  ASSERT_TRUE(one.ok());
  EXPECT_FALSE(pool_->Admit("a").ok());
  FairPool::Place moved = *std::move(one);
  EXPECT_FALSE(pool_->Admit("a").ok());
  moved = pool_->Admit("b").value();
  EXPECT_TRUE(pool_->Admit("a").ok());
  ASSERT_TRUE(Submit("a").ok());
  EXPECT_FALSE(Submit("a").ok());
  Release();
  EXPECT_TRUE(pool_->Admit("a").ok());
}

TEST_F(FairPoolTest, WhatWaitsRunsWhenItStopsAndWhatComesLaterAtOnce) {
  Use({});
  ASSERT_TRUE(Submit("a").ok());
  ASSERT_TRUE(Submit("b").ok());
  EXPECT_EQ(Release(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(Submit("late").ok());
  EXPECT_EQ(order_.back(), "late");
}

TEST(FairPoolDefaults, ABalancersTwoHundredCallsAtOnceAllHavePlaces) {
  FairPool pool({.threads = 1});
  std::vector<FairPool::Place> places;
  for (int i = 0; i < 200; ++i) {
    absl::StatusOr<FairPool::Place> place = pool.Admit("192.0.2.7");
    ASSERT_TRUE(place.ok()) << place.status();
    places.push_back(*std::move(place));
  }
}

}  // namespace
}  // namespace meshca
