#include "ca/base/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "ca/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

TEST(SealedMemoryTest, HoldsItsBytesForWhoeverHasIt) {
  const std::string bytes = std::string("a\0b", 3) + std::string(100'000, 'x');
  const absl::StatusOr<UniqueFd> made = MakeSealedMemory("test", bytes);
  ASSERT_THAT(made, IsOk());
  EXPECT_TRUE(fcntl(made->get(), F_GETFD) & FD_CLOEXEC);
  lseek(made->get(), 5, SEEK_SET);  // where somebody else stands does not matter
  const absl::StatusOr<std::string> read = ReadSealedMemory(made->get(), bytes.size());
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, bytes);
  const absl::StatusOr<UniqueFd> empty = MakeSealedMemory("test", "");
  ASSERT_THAT(empty, IsOk());
  EXPECT_EQ(*ReadSealedMemory(empty->get(), 0), "");
}

TEST(SealedMemoryTest, NobodyChangesIt) {
  const absl::StatusOr<UniqueFd> made = MakeSealedMemory("test", "bytes");
  ASSERT_THAT(made, IsOk());
  EXPECT_LT(pwrite(made->get(), "B", 1, 0), 0);
  EXPECT_NE(ftruncate(made->get(), 1), 0);
  EXPECT_NE(ftruncate(made->get(), 100), 0);
  EXPECT_NE(fcntl(made->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  EXPECT_EQ(mmap(nullptr, 1, PROT_WRITE, MAP_SHARED, made->get(), 0), MAP_FAILED);
  EXPECT_EQ(*ReadSealedMemory(made->get(), 100), "bytes");
}

TEST(SealedMemoryTest, ReadsNothingElse) {
  const absl::StatusOr<UniqueFd> made = MakeSealedMemory("test", "bytes");
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(ReadSealedMemory(made->get(), 4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5 bytes")));

  const UniqueFd open(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(write(open.get(), "bytes", 5), 5);
  EXPECT_THAT(ReadSealedMemory(open.get(), 100), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not sealed")));
  for (const int seals : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE}) {  // not sealed against further seals
    ASSERT_EQ(fcntl(open.get(), F_ADD_SEALS, seals), 0);
    EXPECT_THAT(ReadSealedMemory(open.get(), 100), StatusIs(absl::StatusCode::kInvalidArgument));
  }

  const TempFolder temp;
  ASSERT_THAT(CreatePrivateFile(temp / "file", "bytes"), IsOk());
  const UniqueFd file(::open((temp / "file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(ReadSealedMemory(file.get(), 100), StatusIs(absl::StatusCode::kInvalidArgument));
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]), writing(ends[1]);
  EXPECT_THAT(ReadSealedMemory(reading.get(), 100), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("memfd")));
  EXPECT_THAT(ReadSealedMemory(-1, 100), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace meshca
