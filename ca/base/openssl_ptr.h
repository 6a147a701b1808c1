// Owning names for OpenSSL 3.0 handles: FooPtr owns one reference, FOO* borrows. OpenSSL's verbs mark each change of
// hands: get0 lends, get1 and dup give, set0 and push0 take. release() appears only as the argument of a call that
// takes.
#ifndef MESHCA_CA_BASE_OPENSSL_PTR_H_
#define MESHCA_CA_BASE_OPENSSL_PTR_H_

#include <memory>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

template <auto Free>
struct OpenSslDelete {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};
template <typename T, auto Free>
using OpenSslPtr = std::unique_ptr<T, OpenSslDelete<Free>>;

using BioPtr = OpenSslPtr<BIO, BIO_free_all>;
using BignumPtr = OpenSslPtr<BIGNUM, BN_free>;
using EvpCipherCtxPtr = OpenSslPtr<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using EvpMdCtxPtr = OpenSslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;
using EvpPkeyCtxPtr = OpenSslPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using EvpPkeyPtr = OpenSslPtr<EVP_PKEY, EVP_PKEY_free>;
using GeneralNamesPtr = OpenSslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using X509Ptr = OpenSslPtr<X509, X509_free>;
using X509ExtensionPtr = OpenSslPtr<X509_EXTENSION, X509_EXTENSION_free>;
using X509NamePtr = OpenSslPtr<X509_NAME, X509_NAME_free>;
using X509ReqPtr = OpenSslPtr<X509_REQ, X509_REQ_free>;

// Text as OpenSSL's calls take it.
inline const unsigned char* OpenSslBytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Empties this thread's OpenSSL error queue into one Internal status that starts with `call`. Called at each failed
// OpenSSL call, so no later failure is blamed on an earlier one.
absl::Status OpenSslError(absl::string_view call);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_OPENSSL_PTR_H_
