// The default source of authority: meshca makes the root.
#ifndef MESHCA_CA_AUTHORITY_SELF_SIGNED_SOURCE_H_
#define MESHCA_CA_AUTHORITY_SELF_SIGNED_SOURCE_H_

#include <string>
#include <utility>

#include "ca/authority/authority_source.h"
#include "ca/base/entropy.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/public_key.h"

namespace meshca {

// Every Load makes another root, with a key of its own. It never changes by itself: replacing a root is a rotation.
class SelfSignedSource final : public AuthoritySource {
 public:
  // `entropy` outlives the source.
  SelfSignedSource(TrustDomain domain, KeyType key_type, absl::Duration lifetime, EntropySource& entropy)
      : domain_(std::move(domain)), key_type_(key_type), lifetime_(lifetime), entropy_(entropy) {}

  absl::StatusOr<AuthoritySet> Load(absl::Time now) override;
  absl::StatusOr<std::string> Fingerprint() override { return std::string(); }

 private:
  const TrustDomain domain_;
  const KeyType key_type_;
  const absl::Duration lifetime_;
  EntropySource& entropy_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SELF_SIGNED_SOURCE_H_
