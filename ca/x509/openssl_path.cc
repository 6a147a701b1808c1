#include "ca/x509/openssl_path.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"

namespace meshca {
namespace {

using X509StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;
using X509StoreCtxPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

void FreeStack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }
using X509StackPtr = OpenSslPtr<STACK_OF(X509), FreeStack>;

X509Ptr Decode(const Certificate& certificate) {
  const std::string& der = certificate.der().bytes();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

}  // namespace

absl::Status VerifyByOpenSsl(std::span<const Certificate> chain, const Certificate& root, absl::Time now,
                             PeerRole role) {
  const X509StorePtr store(X509_STORE_new());
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  const X509StackPtr between(sk_X509_new_null());
  const X509Ptr leaf = Decode(chain.front());
  const X509Ptr anchor = Decode(root);
  if (store == nullptr || context == nullptr || between == nullptr || leaf == nullptr || anchor == nullptr ||
      X509_STORE_add_cert(store.get(), anchor.get()) != 1) {
    return OpenSslError("X509_STORE_add_cert");
  }
  for (const Certificate& certificate : chain.subspan(1)) {
    X509Ptr issuer = Decode(certificate);
    if (issuer == nullptr) return OpenSslError("d2i_X509");
    // The stack takes it where it can: release() stands in the call that takes.
    if (X509* const taken = issuer.release(); sk_X509_push(between.get(), taken) == 0) {
      X509_free(taken);
      return OpenSslError("sk_X509_push");
    }
  }
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), between.get()) != 1) {
    return OpenSslError("X509_STORE_CTX_init");
  }
  const int purpose = role == PeerRole::kClient ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER;
  if (X509_STORE_CTX_set_purpose(context.get(), purpose) != 1) return OpenSslError("X509_STORE_CTX_set_purpose");
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  const int error = X509_STORE_CTX_get_error(context.get());
  const int depth = X509_STORE_CTX_get_error_depth(context.get());
  OpenSslError("X509_verify_cert").IgnoreError();
  const size_t place = static_cast<size_t>(depth);
  const std::string where = place < chain.size() ? chain[place].subject() : root.subject();
  return absl::InvalidArgumentError(
      absl::StrCat(X509_verify_cert_error_string(error), " (at \"", where, "\", ", depth, " above the leaf)"));
}

}  // namespace meshca
