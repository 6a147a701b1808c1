// What this process's authorities make trusted, as those who serve secrets are told it.
#ifndef MESHCA_CLI_SERVER_AUTHORITY_TRUST_SOURCE_H_
#define MESHCA_CLI_SERVER_AUTHORITY_TRUST_SOURCE_H_

#include <memory>

#include "ca/authority/authority_snapshot.h"
#include "sds/trust_source.h"

namespace meshca::cli {

// One trust domain, the CA's own, whose trust version is the bundle's sequence number: the database gives each bundle a
// number of its own, above all before it. A snapshot without a bundle is passed over. Thread-safe.
class AuthorityTrustSource final : public sds::TrustSource {
 public:
  // `authorities` outlives it.
  explicit AuthorityTrustSource(AuthoritySnapshots& authorities) : authorities_(authorities) {}

  std::shared_ptr<const sds::Trust> Current() const override;
  // Tells every snapshot that has a bundle: one that changes only who signs repeats the version before.
  void AddListener(Listener listener) override;

 private:
  AuthoritySnapshots& authorities_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_AUTHORITY_TRUST_SOURCE_H_
