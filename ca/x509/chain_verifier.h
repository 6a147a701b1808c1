// Decides whose certificate a TLS peer presents (X509-SVID §5, RFC 5280 §6), by our own rules.
#ifndef MESHCA_CA_X509_CHAIN_VERIFIER_H_
#define MESHCA_CA_X509_CHAIN_VERIFIER_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"

namespace meshca {

enum class PeerRole { kClient, kServer };  // which extended key usage the leaf must have, where it has any

struct VerifiedPeer {
  SpiffeId spiffe_id;
  Certificate leaf;
  std::string root_id;  // spki_sha256_hex of the root the chain ends in
  // spki_sha256_hex of every authority on the path that was verified, the leaf's issuer first, the root last. What is
  // judged of a certificate's authorities is judged on these, never on a field that the certificate itself carries.
  std::vector<std::string> authority_ids;
  absl::Time path_ends = absl::InfinitePast();  // the earliest notAfter of the path, the leaf's included
};

// The roots of one trust domain and the authorities that are no longer believed. Thread-safe, its answers depend on its
// arguments alone; a change of roots or taint makes a new one. Roots are parsed once, and authorities that once led to
// a root are remembered (never leaves), so a handshake costs one signature check. Copies share that memory.
//
// A chain comes from anybody, and is verified on a loop. So a path from the leaf to a root is found by names, key
// identifiers, dates and the rules of RFC 5280 §6 first, which costs no arithmetic. Then its signatures are checked
// from the root down: each by a key that a root vouches for already, so no stranger's key is ever decoded or used,
// however large it is. Without the key of an authority nobody makes us check more than kFailuresMax signatures, and
// with it not more than kChainMax.
class ChainVerifier {
 public:
  // Longest chain, leaf and root included; so many signatures are checked at most.
  static constexpr size_t kChainMax = 8;
  // Signatures that may fail before the chain is refused. More than one, because authorities without key identifiers
  // may have one name and several keys.
  static constexpr int kFailuresMax = 3;

  // Is `signature` the key's over `message`? PublicKey::Verify; tests count.
  using CheckSignature = std::function<absl::Status(const PublicKey& key, absl::string_view algorithm,
                                                    absl::string_view message, absl::string_view signature)>;

  // `tainted`: spki_sha256_hex of authorities (root or issuing) whose certificates are refused. `check_signature`
  // empty: PublicKey::Verify.
  ChainVerifier(TrustDomain domain, std::vector<Certificate> roots, absl::flat_hash_set<std::string> tainted = {},
                CheckSignature check_signature = {});

  // `chain` as the TLS peer sent it: DER, leaf first, the others in any order, the root there or not.
  // Unauthenticated, with a reason and a sentence that names certificate and rule:
  //   PEER_CHAIN_MALFORMED   empty, too long, unreadable
  //   PEER_NOT_SVID          the leaf breaks X509-SVID: a CA, no or several URI names, key usage, no path, not the role
  //   PEER_TRUST_DOMAIN      another trust domain
  //   PEER_EXPIRED / PEER_NOT_YET_VALID   a certificate of the chain at `now`
  //   PEER_UNTRUSTED         no path to a root: unknown issuer, a signature, a rule of RFC 5280 §6 broken
  //   PEER_TAINTED           the path leads through a tainted authority
  absl::StatusOr<VerifiedPeer> Verify(std::span<const absl::string_view> chain, absl::Time now,
                                      PeerRole role = PeerRole::kClient) const;

  const TrustDomain& trust_domain() const { return domain_; }

 private:
  class Memory;
  class Proof;
  TrustDomain domain_;
  std::vector<Certificate> roots_;
  absl::flat_hash_set<std::string> tainted_;
  CheckSignature check_signature_;
  std::shared_ptr<Memory> memory_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_CHAIN_VERIFIER_H_
