// Certificate requests by the thousand, each with a key of its own.
#ifndef MESHCA_TEST_BENCH_CSR_FACTORY_H_
#define MESHCA_TEST_BENCH_CSR_FACTORY_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace meshca::bench {

enum class KeyType { kEcP256, kEcP384, kRsa2048, kEd25519 };

// As --key-type spells them: ec-p256, ec-p384, rsa-2048, ed25519.
const std::map<std::string, KeyType>& KeyTypes();

// How many RSA keys there are at most: one takes 100 ms to make. Requests beyond share them, in turns.
constexpr size_t kRsaKeysMax = 64;

// `count` PKCS#10 requests, PEM, each naming `spiffe_id`, for keys that differ (RSA: see above). Uses all CPUs this
// process may use while it lasts. Aborts when OpenSSL fails.
std::vector<std::string> MakeCsrs(size_t count, const std::string& spiffe_id, KeyType key_type);

// Makes such a request at each call, on the caller's thread; not thread-safe. RSA: one of a pool made at once.
std::function<std::string()> CsrMaker(const std::string& spiffe_id, KeyType key_type);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CSR_FACTORY_H_
