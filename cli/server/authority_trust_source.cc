#include "cli/server/authority_trust_source.h"

#include <utility>

namespace meshca::cli {
namespace {

// Null where the snapshot holds no bundle.
std::shared_ptr<const sds::Trust> TrustOf(const AuthoritySnapshot* snapshot) {
  if (snapshot == nullptr || snapshot->bundle == nullptr) return nullptr;
  const TrustBundle& bundle = *snapshot->bundle;
  auto trust = std::make_shared<sds::Trust>();
  trust->version = bundle.sequence_number;
  sds::DomainTrust& own = trust->domains.emplace_back();
  own.trust_domain = bundle.trust_domain;
  own.roots.reserve(bundle.roots.size());
  for (const Certificate& root : bundle.roots) own.roots.push_back(root.der());
  own.jwt_keys = bundle.jwt_keys;
  return trust;
}

}  // namespace

std::shared_ptr<const sds::Trust> AuthorityTrustSource::Current() const {
  return TrustOf(authorities_.Current().get());
}

void AuthorityTrustSource::AddListener(Listener listener) {
  authorities_.AddListener([listener = std::move(listener)](const std::shared_ptr<const AuthoritySnapshot>& snapshot) {
    if (const std::shared_ptr<const sds::Trust> trust = TrustOf(snapshot.get()); trust != nullptr) listener(trust);
  });
}

}  // namespace meshca::cli
