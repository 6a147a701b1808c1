#include "ca/base/wiping_heap.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "ca/base/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MESHCA_SANITIZER_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MESHCA_SANITIZER_HEAP 1
#endif
#endif

namespace meshca {
namespace {

void WipeAndFree(void* memory) {
  if (memory == nullptr) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}

void* AllocateForOpenSsl(size_t size, const char*, int) { return std::malloc(size); }

// Buffers of TLS records: one or two are freed with each call. They hold ciphertext, and SSL_OP_CLEANSE_PLAINTEXT has
// wiped what was decrypted in them.
constexpr size_t kRecordBufferBytes = 16 * 1024;

void FreeForOpenSsl(void* memory, const char*, int) {
  if (memory != nullptr && malloc_usable_size(memory) >= kRecordBufferBytes) return std::free(memory);
  WipeAndFree(memory);
}

void* ReallocateForOpenSsl(void* memory, size_t size, const char*, int) {
  if (memory == nullptr) return std::malloc(size);
  const size_t before = malloc_usable_size(memory);
  if (size <= before) return memory;
  // Not realloc, which frees what was there as it is.
  void* const moved = std::malloc(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, memory, before);
  WipeAndFree(memory);
  return moved;
}

bool installed = false;

void Install() { installed = CRYPTO_set_mem_functions(AllocateForOpenSsl, ReallocateForOpenSsl, FreeForOpenSsl) == 1; }

#ifndef MESHCA_SANITIZER_HEAP
// OpenSSL takes other functions only before its first allocation, and libssl's own initialiser makes that: this one
// runs before the initialisers of all libraries.
__attribute__((section(".preinit_array"), used)) void (*const kInstallFirst)() = Install;
#endif

}  // namespace

void CheckThatFreedMemoryIsWiped() {
#ifdef MESHCA_SANITIZER_HEAP
  (void)Install;
#else
  MESHCA_CHECK(installed);
#endif
}

}  // namespace meshca

#ifndef MESHCA_SANITIZER_HEAP
// Every form the compiler may choose; libstdc++'s own `operator new` allocates by malloc and aligned_alloc.
void operator delete(void* memory) noexcept { meshca::WipeAndFree(memory); }
void operator delete[](void* memory) noexcept { meshca::WipeAndFree(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { meshca::WipeAndFree(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { meshca::WipeAndFree(memory); }
void operator delete(void* memory, std::size_t) noexcept { meshca::WipeAndFree(memory); }
void operator delete[](void* memory, std::size_t) noexcept { meshca::WipeAndFree(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { meshca::WipeAndFree(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { meshca::WipeAndFree(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept { meshca::WipeAndFree(memory); }
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept { meshca::WipeAndFree(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { meshca::WipeAndFree(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { meshca::WipeAndFree(memory); }
#endif
