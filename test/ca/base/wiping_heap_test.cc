#include "ca/base/wiping_heap.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cstring>
#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace meshca {
namespace {

// What lies where `text` had its bytes. Freed memory may not be read, so it is asked of the kernel.
std::string BytesAt(const void* address, size_t size) {
  std::string bytes(size, '\0');
  FILE* const memory = std::fopen("/proc/self/mem", "rb");
  if (memory == nullptr) return "cannot read my own memory";
  std::setvbuf(memory, nullptr, _IONBF, 0);
  if (fseeko(memory, static_cast<off_t>(reinterpret_cast<uintptr_t>(address)), SEEK_SET) != 0 ||
      std::fread(bytes.data(), 1, size, memory) != size) {
    bytes = "cannot read there";
  }
  std::fclose(memory);
  return bytes;
}

constexpr char kSecret[] = "a secret of forty-eight bytes, which is plenty.";

TEST(WipingHeap, AStringThatGrewLeavesNothingBehind) {
  // What is freed keeps a few words of the allocator's in front; the rest is looked at.
  auto text = std::make_unique<std::string>(kSecret);
  const char* const before = text->data();
  text->append(1000, 'x');
  ASSERT_NE(text->data(), before);
  EXPECT_EQ(BytesAt(before + 16, sizeof kSecret - 17).find("forty-eight"), std::string::npos);
  const char* const grown = text->data();
  text.reset();
  EXPECT_EQ(BytesAt(grown + 16, sizeof kSecret - 17).find("forty-eight"), std::string::npos);
}

TEST(WipingHeap, AnObjectAndAnArrayLeaveNothingBehind) {
  struct Held {
    char bytes[64];
  };
  auto* const held = new Held;
  std::memcpy(held->bytes, kSecret, sizeof kSecret);
  const char* const at = held->bytes;
  delete held;
  EXPECT_EQ(BytesAt(at, 64).find("forty-eight"), std::string::npos);
  char* const array = new char[64];
  std::memcpy(array, kSecret, sizeof kSecret);
  const char* const array_at = array;
  delete[] array;
  EXPECT_EQ(BytesAt(array_at, 64).find("forty-eight"), std::string::npos);
}

TEST(WipingHeap, WhatOpenSslFreesOrMovesLeavesNothingBehind) {
  auto* memory = static_cast<char*>(OPENSSL_malloc(64));
  std::memcpy(memory, kSecret, sizeof kSecret);
  const char* const first = memory;
  memory = static_cast<char*>(OPENSSL_realloc(memory, 10'000));
  ASSERT_NE(memory, first);
  EXPECT_STREQ(memory, kSecret) << "what moves keeps its bytes";
  EXPECT_EQ(BytesAt(first, 64).find("forty-eight"), std::string::npos);
  const char* const second = memory;
  OPENSSL_free(memory);
  EXPECT_EQ(BytesAt(second, 64).find("forty-eight"), std::string::npos);
}

}  // namespace
}  // namespace meshca

int main(int argc, char** argv) {
  meshca::CheckThatFreedMemoryIsWiped();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
