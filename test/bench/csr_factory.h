// Certificate requests by the thousand, each with a key of its own.
#ifndef MESHCA_TEST_BENCH_CSR_FACTORY_H_
#define MESHCA_TEST_BENCH_CSR_FACTORY_H_

#include <string>
#include <vector>

namespace meshca::bench {

// `count` PKCS#10 requests, PEM, for P-256 keys that differ, each naming `spiffe_id`. Aborts when OpenSSL fails.
std::vector<std::string> MakeCsrs(int count, const std::string& spiffe_id);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CSR_FACTORY_H_
