// The name of a cluster that an Istio client says it is in.
#ifndef MESHCA_CA_SERVICE_CLAIMED_CLUSTERS_H_
#define MESHCA_CA_SERVICE_CLAIMED_CLUSTERS_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"

namespace meshca {

// istio-agent and ztunnel send `clusterid` with every request. Nothing depends on it: it is kept with the record, so
// that an operator sees who believes to be elsewhere. The store keeps every caller's name for good, so only so many
// different ones are taken from strangers. Thread-safe.
class ClaimedClusters {
 public:
  // Until the server's restart. A mesh has a few.
  static constexpr size_t kMax = 16;
  // Kubernetes' bound of an object's name.
  static constexpr size_t kBytesMax = 253;

  // What to record of `claimed`: itself; "" when it is empty; "other" when it is longer than kBytesMax, has other
  // characters than A-Z a-z 0-9 . _ - /, or is one of more than kMax.
  std::string ToRecord(absl::string_view claimed);

 private:
  Mutex mutex_;
  absl::flat_hash_set<std::string> seen_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_CLAIMED_CLUSTERS_H_
