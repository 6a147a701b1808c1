#include "ca/edge/svid_verifier.h"

#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// The edge picks the TLS alert by its own, coarser words.
absl::string_view AlertReason(absl::string_view reason) {
  if (reason == "PEER_EXPIRED" || reason == "PEER_NOT_YET_VALID") return "CERTIFICATE_EXPIRED";
  if (reason == "PEER_UNTRUSTED" || reason == "PEER_TRUST_DOMAIN") return "UNKNOWN_AUTHORITY";
  return reason;
}

}  // namespace

void SvidVerifier::Trust(TrustDomain domain, std::vector<Certificate> roots) {
  auto verifier = std::make_shared<const ChainVerifier>(std::move(domain), std::move(roots));
  MutexLock lock(mutex_);
  verifier_ = std::move(verifier);
}

std::shared_ptr<const ChainVerifier> SvidVerifier::chain_verifier() const {
  MutexLock lock(mutex_);
  return verifier_;
}

absl::StatusOr<std::shared_ptr<const void>> SvidVerifier::Verify(std::span<const std::string> chain_der,
                                                                 absl::Time now) {
  const std::shared_ptr<const ChainVerifier> verifier = chain_verifier();
  if (verifier == nullptr) return absl::UnauthenticatedError("client certificate: the CA has not started yet");
  std::vector<absl::string_view> chain(chain_der.begin(), chain_der.end());
  absl::StatusOr<VerifiedPeer> peer = verifier->Verify(chain, now);
  if (!peer.ok()) return WithReason(peer.status(), AlertReason(ReasonOf(peer.status())));
  return std::shared_ptr<const void>(std::make_shared<const VerifiedPeer>(*std::move(peer)));
}

std::string SvidVerifier::CountedAs(const void* identity) const {
  return static_cast<const VerifiedPeer*>(identity)->spiffe_id.uri();
}

std::shared_ptr<const VerifiedPeer> VerifiedPeerOf(const rpc::Peer& peer) {
  return std::static_pointer_cast<const VerifiedPeer>(peer.identity);
}

}  // namespace meshca
