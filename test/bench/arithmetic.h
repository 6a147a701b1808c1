// The yardstick: what the curve arithmetic of one certificate costs on this machine, at this moment.
#ifndef MESHCA_TEST_BENCH_ARITHMETIC_H_
#define MESHCA_TEST_BENCH_ARITHMETIC_H_

#include "absl/time/time.h"

namespace meshca::bench {

// CPU time of one ECDSA P-256 verification and one signature by OpenSSL, over a digest, as `openssl speed` does them:
// the mean over as many as fit into `wall`.
absl::Duration P256VerifyAndSign(absl::Duration wall);
// The same of the signature alone: what a JWT-SVID cannot do without.
absl::Duration P256Sign(absl::Duration wall);

// CPU time of this thread so far.
absl::Duration ThreadCpuTime();

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_ARITHMETIC_H_
