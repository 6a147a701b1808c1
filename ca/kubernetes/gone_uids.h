// The uids of objects that went last.
#ifndef MESHCA_CA_KUBERNETES_GONE_UIDS_H_
#define MESHCA_CA_KUBERNETES_GONE_UIDS_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "ca/kubernetes/compact_uid.h"

namespace meshca::kubernetes {

// Remembers a bounded number of them, whoever went longest ago is forgotten first. A token of what is forgotten is
// judged by the API server again, which knew by then. Not thread-safe.
class GoneUids {
 public:
  explicit GoneUids(size_t uids_max = 16'384) : uids_max_(uids_max) {}

  bool Contains(const CompactUid& uid) const { return uids_.contains(uid); }
  // It is there after all: a cluster that was restored from a backup has old objects again.
  void Remove(const CompactUid& uid) {
    if (uids_.erase(uid) == 0) return;
    // Its place is nobody's until its turn comes: where it goes again, it has another.
    const auto place = std::find(order_.begin(), order_.end(), uid);
    *place = CompactUid();
  }

  void Add(const CompactUid& uid) {
    if (!uids_.insert(uid).second) return;
    if (order_.size() < uids_max_) {
      order_.push_back(uid);
      return;
    }
    uids_.erase(order_[next_]);
    order_[next_] = uid;
    next_ = (next_ + 1) % uids_max_;
  }

 private:
  const size_t uids_max_;
  absl::flat_hash_set<CompactUid> uids_;
  std::vector<CompactUid> order_;  // a ring once it is full
  size_t next_ = 0;                // of the ring: the oldest
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_GONE_UIDS_H_
