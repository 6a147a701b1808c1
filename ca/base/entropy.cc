#include "ca/base/entropy.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "ca/base/check.h"

namespace meshca {
namespace {

class OpenSslEntropy final : public EntropySource {
 public:
  void Fill(std::span<uint8_t> out) override {
    MESHCA_CHECK(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
  }
};

class PagedEntropy final : public EntropySource {
 public:
  void Fill(std::span<uint8_t> out) override {
    static thread_local Page page;
    if (out.size() > page.bytes.size()) return SystemEntropy().Fill(out);
    if (out.size() > page.bytes.size() - page.used) {
      SystemEntropy().Fill(page.bytes);
      page.used = 0;
    }
    std::copy_n(page.bytes.begin() + static_cast<std::ptrdiff_t>(page.used), out.size(), out.begin());
    page.used += out.size();
  }

 private:
  struct Page {
    std::array<uint8_t, 1024> bytes;
    size_t used = sizeof bytes;
  };
};

}  // namespace

EntropySource& PublicEntropy() {
  static PagedEntropy entropy;
  return entropy;
}

EntropySource& SystemEntropy() {
  static OpenSslEntropy entropy;
  return entropy;
}

absl::Duration UniformDuration(EntropySource& entropy, absl::Duration from, absl::Duration to) {
  uint32_t random = 0;
  entropy.Fill({reinterpret_cast<uint8_t*>(&random), sizeof random});
  return from + (to - from) * (random / 4294967296.0);
}

}  // namespace meshca
