// The certificate that a server of ours shows, with its key.
#ifndef MESHCA_CA_HTTP_TLS_IDENTITY_H_
#define MESHCA_CA_HTTP_TLS_IDENTITY_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::http {

// Immutable: handshakes of several connections share one.
struct TlsIdentity {
  X509Ptr leaf;
  std::vector<X509Ptr> above;  // what leads to the root, which may be left out
  EvpPkeyPtr key;

  // `chain_der` begins with the leaf. InvalidArgument: it is empty, one does not parse, or `key` is not the leaf's.
  static absl::StatusOr<std::shared_ptr<const TlsIdentity>> Create(std::span<const std::string> chain_der,
                                                                   EvpPkeyPtr key);
};

// Asked at every handshake, so that a renewed certificate shows with the next one. Null: there is none, and the
// handshake fails.
using TlsIdentityProvider = std::function<std::shared_ptr<const TlsIdentity>()>;

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_TLS_IDENTITY_H_
