#include "test/bench/arithmetic.h"

#include <openssl/evp.h>
#include <time.h>

#include <array>
#include <vector>

#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::bench {
namespace {

using ContextPtr = OpenSslPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

absl::Duration Measure(absl::Duration wall, bool with_verification) {
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  ContextPtr sign(EVP_PKEY_CTX_new(key.get(), nullptr));
  ContextPtr verify(EVP_PKEY_CTX_new(key.get(), nullptr));
  MESHCA_CHECK(EVP_PKEY_sign_init(sign.get()) == 1);
  MESHCA_CHECK(EVP_PKEY_verify_init(verify.get()) == 1);
  const std::array<unsigned char, 32> digest = {1, 2, 3};
  std::array<unsigned char, 128> signature = {};

  const absl::Time end = absl::Now() + wall;
  const absl::Duration start = ThreadCpuTime();
  int rounds = 0;
  while (absl::Now() < end) {
    for (int i = 0; i < 100; ++i, ++rounds) {
      size_t size = signature.size();
      MESHCA_CHECK(EVP_PKEY_sign(sign.get(), signature.data(), &size, digest.data(), digest.size()) == 1);
      if (!with_verification) continue;
      MESHCA_CHECK(EVP_PKEY_verify(verify.get(), signature.data(), size, digest.data(), digest.size()) == 1);
    }
  }
  return (ThreadCpuTime() - start) / rounds;
}

}  // namespace

absl::Duration ThreadCpuTime() {
  timespec now = {};
  MESHCA_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return absl::DurationFromTimespec(now);
}

absl::Duration P256VerifyAndSign(absl::Duration wall) { return Measure(wall, /*with_verification=*/true); }
absl::Duration P256Sign(absl::Duration wall) { return Measure(wall, /*with_verification=*/false); }

}  // namespace meshca::bench
