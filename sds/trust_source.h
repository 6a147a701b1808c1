// Supplies the roots and keys that subscribers shall trust: those of this process's authorities, or, in an agent, those
// of its CA.
#ifndef MESHCA_SDS_TRUST_SOURCE_H_
#define MESHCA_SDS_TRUST_SOURCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ca/jwt/jwt_key.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/trust_version.h"
#include "ca/x509/encoding.h"

namespace meshca::sds {

// What verifies the SVIDs of one trust domain (SPIFFE Trust Domain and Bundle §4).
struct DomainTrust {
  TrustDomain trust_domain;
  std::vector<Der> roots;        // X.509 certificates; first the root that new certificates chain to
  std::vector<JwtKey> jwt_keys;  // those of JWT-SVIDs. SDS has no resource that carries one; the Workload API has

  // Every root as PEM, one after another: a CA file.
  std::string RootsPem() const;

  friend bool operator==(const DomainTrust&, const DomainTrust&) = default;
};

// Everything that is trusted at one moment, as one value. Immutable; shared by every thread.
struct Trust {
  // Equal versions mean equal content; later content has a greater version. An acknowledgement of any bundle made from
  // this value proves that its sender holds this version.
  TrustVersion version = 0;
  // At least one: our own trust domain first.
  std::vector<DomainTrust> domains;
};

// Thread-safe.
class TrustSource {
 public:
  using Listener = std::function<void(const std::shared_ptr<const Trust>&)>;
  virtual ~TrustSource() = default;

  // Null while nothing is known yet: the CA is starting, or an agent has never reached its CA.
  virtual std::shared_ptr<const Trust> Current() const = 0;

  // From now on calls `listener` with each new value, one call at a time, in order of version; a value may come twice.
  // The listener must not block. Listeners are added before the source changes for the first time, and live for as long
  // as it may call them.
  virtual void AddListener(Listener listener) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_TRUST_SOURCE_H_
