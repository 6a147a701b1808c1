// SHA-2 without a fetch each time: OpenSSL 3.0's one-shot SHA256() looks its algorithm up at every call.
#ifndef MESHCA_CA_X509_DIGEST_H_
#define MESHCA_CA_X509_DIGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

typedef struct evp_md_st EVP_MD;

namespace meshca {

enum class HashType { kSha256, kSha384, kSha512 };

// The fetched algorithm; lives as long as the process.
const EVP_MD* HashAlgorithm(HashType type);

struct HashValue {
  std::array<uint8_t, 64> bytes;
  size_t size = 0;
  absl::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), size}; }
};

// Thread-safe: each thread has a context of its own.
HashValue Hash(HashType type, absl::string_view message);
// 32 raw bytes.
inline std::string Sha256(absl::string_view message) { return std::string(Hash(HashType::kSha256, message).view()); }

}  // namespace meshca

#endif  // MESHCA_CA_X509_DIGEST_H_
