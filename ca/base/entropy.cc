#include "ca/base/entropy.h"

#include <openssl/rand.h>

#include "ca/base/check.h"

namespace meshca {
namespace {

class OpenSslEntropy final : public EntropySource {
 public:
  void Fill(std::span<uint8_t> out) override {
    MESHCA_CHECK(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
  }
};

}  // namespace

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
