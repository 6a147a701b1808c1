// Chance that a test may replay: serial numbers, jitter, identifiers. Keys and ECDSA nonces stay with OpenSSL.
#ifndef MESHCA_CA_BASE_ENTROPY_H_
#define MESHCA_CA_BASE_ENTROPY_H_

#include <cstdint>
#include <span>

#include "absl/time/time.h"

namespace meshca {

// Thread-safe.
class EntropySource {
 public:
  virtual ~EntropySource() = default;

  // Fills `out` with unpredictable bytes. Never fails: the system source aborts when the kernel has none.
  virtual void Fill(std::span<uint8_t> out) = 0;
};

// OpenSSL's RAND_bytes; lives as long as the process.
EntropySource& SystemEntropy();

// SystemEntropy drawn a page at a time for each thread, each byte handed out once: a call of OpenSSL's costs 0.5 us
// however little it draws. Bytes wait in plain memory, so only for numbers that become public: serial numbers.
EntropySource& PublicEntropy();

// A duration spread evenly over [from, to). For renewal and retry jitter.
absl::Duration UniformDuration(EntropySource& entropy, absl::Duration from, absl::Duration to);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_ENTROPY_H_
