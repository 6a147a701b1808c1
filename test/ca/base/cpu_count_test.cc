#include "ca/base/cpu_count.h"

#include <sched.h>

#include <thread>

#include <gtest/gtest.h>

namespace meshca {
namespace {

TEST(CpuCount, FollowsTheAffinityMask) {
  EXPECT_GE(CpuCount(), 1);
  std::thread confined([] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    ASSERT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
    int first = 0;
    while (!CPU_ISSET(first, &mask)) ++first;
    CPU_ZERO(&mask);
    CPU_SET(first, &mask);
    ASSERT_EQ(sched_setaffinity(0, sizeof mask, &mask), 0);  // of this thread alone
    EXPECT_EQ(CpuCount(), 1);
  });
  confined.join();
}

}  // namespace
}  // namespace meshca
