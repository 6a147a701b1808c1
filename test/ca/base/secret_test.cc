#include "ca/base/secret.h"

#include <string>
#include <type_traits>
#include <utility>

#include "gtest/gtest.h"

namespace meshca {
namespace {

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);
static_assert(!std::is_convertible_v<SecretBytes, std::string>);

// A short string lives inside its object and a long one on the heap: both must be wiped.
class SecretSizes : public testing::TestWithParam<size_t> {};

TEST_P(SecretSizes, TakingOverWipesTheSource) {
  std::string source(GetParam(), 's');
  const char* bytes = source.data();
  SecretBytes secret(std::move(source));
  EXPECT_EQ(secret.reveal(), absl::string_view(std::string(GetParam(), 's')));
  EXPECT_TRUE(source.empty());
  if (GetParam() < 16) {
    EXPECT_EQ(bytes[0], '\0') << "the bytes stayed behind in the moved-from string";
  }
}

TEST_P(SecretSizes, MovingLeavesNothingBehind) {
  SecretBytes first(std::string(GetParam(), 's'));
  SecretBytes second(std::move(first));
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(second.size(), GetParam());
  SecretBytes third;
  third = std::move(second);
  EXPECT_TRUE(second.empty());
  EXPECT_EQ(third.size(), GetParam());
  SecretBytes& alias = third;
  third = std::move(alias);
  EXPECT_EQ(third.size(), GetParam()) << "a move to itself lost the secret";
}

TEST_P(SecretSizes, CloneIsEqualAndApart) {
  SecretBytes first(std::string(GetParam(), 's'));
  SecretBytes second = first.Clone();
  EXPECT_EQ(first.reveal(), second.reveal());
  EXPECT_NE(first.reveal().data(), second.reveal().data());
}

INSTANTIATE_TEST_SUITE_P(ShortAndLong, SecretSizes, testing::Values(1, 15, 16, 32, 4096));

TEST(Wipe, OverwritesAllOfTheCapacity) {
  std::string text(100, 'k');
  const char* bytes = text.data();
  text.resize(3);
  Wipe(text);
  EXPECT_TRUE(text.empty());
  ASSERT_GE(text.capacity(), 100u);
  for (size_t i = 0; i < 100; ++i) ASSERT_NE(bytes[i], 'k') << i;
}

TEST(ConstantTimeEquals, ComparesLikeEquals) {
  EXPECT_TRUE(ConstantTimeEquals("", ""));
  EXPECT_TRUE(ConstantTimeEquals("token", "token"));
  EXPECT_FALSE(ConstantTimeEquals("token", "tokem"));
  EXPECT_FALSE(ConstantTimeEquals("token", "toke"));
  EXPECT_FALSE(ConstantTimeEquals("", "x"));
}

}  // namespace
}  // namespace meshca
