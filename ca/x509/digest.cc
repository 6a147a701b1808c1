#include "ca/x509/digest.h"

#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"

namespace meshca {

const EVP_MD* HashAlgorithm(HashType type) {
  // Never freed: signing threads may outlive static destructors.
  static const std::array<EVP_MD*, 3> algorithms = {EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                    EVP_MD_fetch(nullptr, "SHA384", nullptr),
                                                    EVP_MD_fetch(nullptr, "SHA512", nullptr)};
  return algorithms[static_cast<size_t>(type)];
}

HashValue Hash(HashType type, absl::string_view message) {
  static thread_local const std::array<EvpMdCtxPtr, 3> contexts = {
      EvpMdCtxPtr(EVP_MD_CTX_new()), EvpMdCtxPtr(EVP_MD_CTX_new()), EvpMdCtxPtr(EVP_MD_CTX_new())};
  EVP_MD_CTX* context = contexts[static_cast<size_t>(type)].get();
  HashValue value;
  unsigned int size = 0;
  // Hashing memory fails only when memory is gone or OpenSSL's providers are: nothing here could go on then.
  MESHCA_CHECK(context != nullptr && EVP_DigestInit_ex2(context, HashAlgorithm(type), nullptr) == 1);
  MESHCA_CHECK(EVP_DigestUpdate(context, message.data(), message.size()) == 1);
  MESHCA_CHECK(EVP_DigestFinal_ex(context, value.bytes.data(), &size) == 1);
  value.size = size;
  return value;
}

}  // namespace meshca
