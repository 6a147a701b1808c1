#include "ca/base/entropy.h"

#include <array>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace meshca {
namespace {

using Draw = std::array<uint8_t, 12>;

std::vector<Draw> DrawMany(int count) {
  std::vector<Draw> draws(static_cast<size_t>(count));
  for (Draw& draw : draws) PublicEntropy().Fill(draw);
  return draws;
}

TEST(PublicEntropy, HandsOutNoBytesTwiceAcrossPagesAndThreads) {
  std::vector<Draw> other;
  std::thread thread([&] { other = DrawMany(1000); });
  const std::vector<Draw> mine = DrawMany(1000);
  thread.join();
  std::set<Draw> seen(mine.begin(), mine.end());
  seen.insert(other.begin(), other.end());
  EXPECT_EQ(seen.size(), 2000u);
}

TEST(PublicEntropy, FillsWhatIsLargerThanAPage) {
  std::vector<uint8_t> large(5000, 0);
  PublicEntropy().Fill(large);
  const std::set<uint8_t> values(large.end() - 1000, large.end());
  EXPECT_GT(values.size(), 200u);  // of 256; the last bytes are as random as the first
}

}  // namespace
}  // namespace meshca
