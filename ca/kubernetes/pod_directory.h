// What the cluster's pods and service accounts are, as watches of them tell.
#ifndef MESHCA_CA_KUBERNETES_POD_DIRECTORY_H_
#define MESHCA_CA_KUBERNETES_POD_DIRECTORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/compact_uid.h"
#include "ca/kubernetes/gone_uids.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/pod_table.h"

namespace meshca::kubernetes {

// Filled by two watches through its sinks, asked by anybody. What the lists of the watches no longer have is gone, as
// what they say is gone. Of a namespace that goes the watch of accounts tells each: the API server deletes them first,
// and what another watch said of the namespace could be about one that has been made anew since. Thread-safe; the lock
// is held for microseconds, also while a list of 100,000 pods ends.
class PodDirectory {
 public:
  // Of a pod's labels those are kept that are among `kept_labels`: "KEY" whatever its value is, or "KEY=VALUE".
  explicit PodDirectory(std::set<std::string> kept_labels = {});

  // ListWatchOptions::paths of the watch that tells each sink.
  static std::vector<std::string> PodPaths();
  static std::vector<std::string> AccountPaths();

  ObjectSink& pods() { return pod_sink_; }
  ObjectSink& accounts() { return account_sink_; }

  // See KnownPods.
  std::optional<KnownPod> FindPod(absl::string_view uid) const;
  bool LookAt(absl::string_view uid, KnownPods::Look look) const;
  std::string AccountUid(const AccountName& account) const;
  bool IsAccountUid(const AccountName& account, absl::string_view uid) const;
  bool IsGone(absl::string_view uid) const;
  std::vector<AccountName> AccountsOn(absl::string_view node, absl::Time now) const;
  uint64_t Changes() const { return changes_; }

  // Those of the pod that are kept; empty: it has none of them, or is not known.
  PodLabels LabelsOf(absl::string_view pod_uid) const;
  size_t pod_count() const;
  // In no order; of pods that come or go meanwhile some are missing. Takes milliseconds where there are many pods.
  std::vector<FoundPod> Find(const PodQuery& query) const;

 private:
  // Tells one kind of object to the directory.
  class PodSink final : public ObjectSink {
   public:
    explicit PodSink(PodDirectory& directory) : directory_(directory) {}
    void OnListBegin() override;
    void OnListEnd() override;
    void OnObject(const PickedFields& object) override;
    void OnGone(const PickedFields& object) override;

   private:
    PodDirectory& directory_;
  };
  class AccountSink final : public ObjectSink {
   public:
    explicit AccountSink(PodDirectory& directory) : directory_(directory) {}
    void OnListBegin() override;
    void OnListEnd() override;
    void OnObject(const PickedFields& object) override;
    void OnGone(const PickedFields& object) override;

   private:
    PodDirectory& directory_;
  };

  struct Account {
    CompactUid uid;
    uint32_t list = 0;
  };
  PodState ReadPod(const PickedFields& object, const CompactUid& uid) const;

  const std::set<std::string> kept_labels_;
  PodSink pod_sink_{*this};
  AccountSink account_sink_{*this};
  std::atomic<uint64_t> changes_ = 0;

  mutable Mutex mutex_;
  PodTable pods_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Account> accounts_ ABSL_GUARDED_BY(mutex_);  // by "NAMESPACE/NAME"
  uint32_t account_list_ ABSL_GUARDED_BY(mutex_) = 0;
  GoneUids gone_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_POD_DIRECTORY_H_
