// Which client certificates a TLS listener accepts: X.509-SVIDs of our trust domain, under the bundle of the moment.
#ifndef MESHCA_CA_SERVICE_SVID_VERIFIER_H_
#define MESHCA_CA_SERVICE_SVID_VERIFIER_H_

#include <memory>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/mutex.h"
#include "ca/rpc/tls_context.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// Follows the authorities: a changed bundle counts from the next handshake or resumption on. What it returns
// as Peer::identity is a VerifiedPeer. Fails closed: before the CA has started nobody is accepted. Thread-safe.
class SvidVerifier final : public rpc::ClientVerifier {
 public:
  // Starts from what `authorities` hold now and listens for changes. `authorities` outlives the verifier; held by a
  // shared_ptr because the listener lives as long as `authorities`.
  static std::shared_ptr<SvidVerifier> Create(AuthoritySnapshots& authorities);

  // Unauthenticated with the reasons of rpc::ClientVerifier, so that the TLS alert fits.
  absl::StatusOr<std::shared_ptr<const void>> Verify(std::span<const std::string> chain_der, absl::Time now) override;

  // The SPIFFE ID: renewals and replicas of one workload are one caller.
  std::string CountedAs(const void* identity) const override;

  // The verifier of the moment; null before the CA has started.
  std::shared_ptr<const ChainVerifier> chain_verifier() const;

 private:
  SvidVerifier() = default;
  void Follow(const AuthoritySnapshot& snapshot);

  mutable Mutex mutex_;
  std::shared_ptr<const ChainVerifier> verifier_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_SVID_VERIFIER_H_
