// Thousands of root rotations with everything going wrong. A failing seed is printed: MESHCA_SIM_SEED=N replays it with
// its events, MESHCA_SIM_RUNS=N runs more of them (ten rotations each, or so).
//
// It was seen to catch evidence in which leaves do not count, keys under the old root do not, bundles do not, or those
// who have left do not; and it found a driver that forgot, between two looks, why its last step had failed.
#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "ca/base/log.h"
#include "gtest/gtest.h"
#include "test/sim/mesh_sim.h"

namespace meshca {
namespace {

constexpr int kRuns = 60;
constexpr int kSteps = 400;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

TEST(RotationSim, NobodyIsEverCutOffAndEveryRotationEndsOrSaysWhyNot) {
  const uint64_t only = FromEnvironment("MESHCA_SIM_SEED", 0);
  const uint64_t runs = only != 0 ? 1 : FromEnvironment("MESHCA_SIM_RUNS", kRuns);
  if (only == 0) SetLogLevel(LogLevel::kError);
  int rotations = 0;
  int jwt_rotations = 0;
  for (uint64_t run = 1; run <= runs; ++run) {
    const uint64_t seed = only != 0 ? only : run;
    MeshSim sim(seed);
    const std::string broken = sim.Run(kSteps);
    rotations += sim.rotations();
    jwt_rotations += sim.jwt_rotations();
    if (only != 0) {
      for (const std::string& event : sim.events()) std::printf("%s\n", event.c_str());
    }
    ASSERT_EQ(broken, "") << "replay with MESHCA_SIM_SEED=" << seed;
  }
  std::printf("%d rotations of roots and %d of JWT keys in %d runs\n", rotations, jwt_rotations,
              static_cast<int>(runs));
  EXPECT_GT(rotations, static_cast<int>(runs));
  EXPECT_GT(jwt_rotations, static_cast<int>(runs));
}

}  // namespace
}  // namespace meshca
