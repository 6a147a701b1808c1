// The two ways to know what somebody holds: it acknowledged it, or it was sent it and cannot answer.
#ifndef MESHCA_CA_SUBSCRIBERS_TRUST_PROOF_H_
#define MESHCA_CA_SUBSCRIBERS_TRUST_PROOF_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// What a stream's acknowledgement proves. Parts that are empty say nothing: the stream holds what it held.
struct Acknowledgement {
  TrustVersion trust_version = 0;  // 0: the stream carries no bundle, or none acknowledged yet
  uint64_t generation = 0;         // of `serial`, to order two of one instance
  std::string serial;
  std::string authority_id;  // that signed `serial`
  std::string version_info;
};

// What an answer held that nobody acknowledges: that to FetchSecrets. Whoever got it is taken to hold it until it gets
// another one.
struct Delivery {
  struct Key {
    std::string spiffe_id;
    uint64_t generation = 0;
    std::string serial;
    std::string authority_id;
    std::string version_info;
    absl::Time not_after;
  };
  std::optional<TrustVersion> trust_version;  // nothing: it held no bundle
  std::string version_info;                   // of the bundle
  std::vector<Key> keys;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_TRUST_PROOF_H_
