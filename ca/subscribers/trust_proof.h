// The two kinds of proof of what a subscriber holds: it acknowledged something, or was sent it and cannot acknowledge.
#ifndef MESHCA_CA_SUBSCRIBERS_TRUST_PROOF_H_
#define MESHCA_CA_SUBSCRIBERS_TRUST_PROOF_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// What a stream's acknowledgement proves. A field that is 0 or "" proves nothing: the stream holds what it held before.
struct Acknowledgement {
  TrustVersion trust_version = 0;  // of the bundle; 0: no bundle was acknowledged
  uint64_t generation = 0;         // orders the certificates of one instance: that of `serial`
  std::string serial;              // of the certificate, in hex; "": no key was acknowledged
  std::string authority_id;        // of the authority that signed `serial`
  std::string version_info;
};

// What the answer to a FetchSecrets call held. Nobody acknowledges it, so its receiver is taken to hold it until it is
// sent another answer.
struct Delivery {
  struct Key {
    std::string spiffe_id;
    uint64_t generation = 0;
    std::string serial;
    std::string authority_id;
    std::string version_info;
    absl::Time not_after;
  };
  std::optional<TrustVersion> trust_version;  // nullopt: the answer held no bundle
  std::string version_info;                   // of the bundle
  std::vector<Key> keys;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_TRUST_PROOF_H_
