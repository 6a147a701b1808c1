// Serialises the answers of the SPIFFE Workload API that hold secrets, by hand, into allocations that are wiped.
#ifndef MESHCA_SDS_WORKLOAD_RESPONSE_H_
#define MESHCA_SDS_WORKLOAD_RESPONSE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "ca/rpc/payload.h"
#include "sds/secret_snapshot.h"
#include "sds/workload_bundles.h"

namespace meshca::sds {

// Hands out hints so that none comes twice in one answer (Workload API §5.2.1): the first identity with a hint keeps
// it, later ones get "".
class UniqueHints {
 public:
  absl::string_view Take(absl::string_view hint);

 private:
  std::vector<absl::string_view> taken_;  // views of what Take was given
};

// One identity in an answer of FetchX509SVID.
struct WorkloadSvid {
  SecretContent::Ptr content;  // of kind kIdentity
  std::string hint;            // unique within the answer
};

// Makes the answers of FetchX509SVID. Streams that hold the same keys, under the same hints and the same trust, share
// one: it is kept for as long as some stream is still writing it, and no longer, because it holds private keys.
// Thread-safe.
class WorkloadResponses {
 public:
  // The answer with these identities in this order, and the bundles of the other trust domains beside them. Each of
  // them belongs to the first trust domain of `bundles`.
  rpc::Payload X509Svids(std::span<const WorkloadSvid> svids, const WorkloadBundles& bundles);

  // How many answers were made.
  uint64_t serialised() const;

 private:
  struct Shared {
    std::vector<std::weak_ptr<const SecretContent>> contents;
    std::vector<std::string> hints;
    TrustVersion version = 0;
    std::weak_ptr<const std::string> payload;

    bool IsOf(std::span<const WorkloadSvid> svids, TrustVersion trust) const;
  };
  void Tidy() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  absl::flat_hash_map<size_t, Shared> shared_ ABSL_GUARDED_BY(mutex_);  // by a hash of what it was made of
  size_t tidy_at_ ABSL_GUARDED_BY(mutex_) = 64;
  uint64_t serialised_ ABSL_GUARDED_BY(mutex_) = 0;
};

// One identity in an answer of FetchJWTSVID.
struct WorkloadJwt {
  std::string spiffe_id;
  std::string token;
  std::string hint;
};

// The answer of FetchJWTSVID.
rpc::Payload JwtSvidsPayload(std::span<const WorkloadJwt> svids);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_WORKLOAD_RESPONSE_H_
