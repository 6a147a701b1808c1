// Chance that repeats: the same bytes in every run.
#ifndef MESHCA_TEST_FAKES_COUNTING_ENTROPY_H_
#define MESHCA_TEST_FAKES_COUNTING_ENTROPY_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"

namespace meshca {

// Each Fill ends with the big-endian number of the call, zeros before it: 16-byte serial numbers read 1, 2, 3 ..., and
// no two calls give the same bytes. Thread-safe.
class CountingEntropy final : public EntropySource {
 public:
  explicit CountingEntropy(uint64_t first = 1) : next_(first) {}

  void Fill(std::span<uint8_t> out) override {
    uint64_t value = 0;
    {
      MutexLock lock(mutex_);
      value = next_++;
    }
    for (size_t i = out.size(); i > 0; --i) {
      out[i - 1] = static_cast<uint8_t>(value);
      value >>= 8;
    }
  }

 private:
  Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_COUNTING_ENTROPY_H_
