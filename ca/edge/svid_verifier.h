// Which client certificates a TLS listener accepts: X.509-SVIDs of our trust domain, under the roots of the moment.
#ifndef MESHCA_CA_EDGE_SVID_VERIFIER_H_
#define MESHCA_CA_EDGE_SVID_VERIFIER_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/rpc/peer.h"
#include "ca/rpc/tls_context.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// What it returns as Peer::identity is a VerifiedPeer. Fails closed: before it was told of roots nobody is accepted.
// Thread-safe.
class SvidVerifier final : public rpc::ClientVerifier {
 public:
  // The roots that count from the next handshake or resumption on, instead of those before. No authority below them is
  // named here: a taint does not end a handshake, because an honest holder needs one to get a certificate under another
  // authority, and is judged at the call (PathStanding, the inventory).
  void Trust(TrustDomain domain, std::vector<Certificate> roots);

  // Unauthenticated with the reasons of rpc::ClientVerifier, so that the TLS alert fits.
  absl::StatusOr<std::shared_ptr<const void>> Verify(std::span<const std::string> chain_der, absl::Time now) override;

  // The SPIFFE ID: renewals and replicas of one workload are one caller.
  std::string CountedAs(const void* identity) const override;

 private:
  std::shared_ptr<const ChainVerifier> chain_verifier() const;

  mutable Mutex mutex_;
  std::shared_ptr<const ChainVerifier> verifier_ ABSL_GUARDED_BY(mutex_);  // null: nobody is trusted yet
};

// What a SvidVerifier said of the peer at its handshake; null without a client certificate, and where the listener has
// no verifier. Only for peers whose listener has this verifier or none.
std::shared_ptr<const VerifiedPeer> VerifiedPeerOf(const rpc::Peer& peer);

}  // namespace meshca

#endif  // MESHCA_CA_EDGE_SVID_VERIFIER_H_
