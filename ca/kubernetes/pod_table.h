// The pods of a cluster, kept in little memory.
#ifndef MESHCA_CA_KUBERNETES_POD_TABLE_H_
#define MESHCA_CA_KUBERNETES_POD_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/kubernetes/compact_uid.h"
#include "ca/kubernetes/name_table.h"

namespace meshca::kubernetes {

using PodLabels = std::vector<std::pair<std::string, std::string>>;

// A pod as it is told.
struct PodState {
  CompactUid uid;
  KnownPod pod;
  PodLabels labels;  // those that count
};

// A pod, with those of its labels that are kept.
struct FoundPod {
  KnownPod pod;
  PodLabels labels;
};

// Whom to look for: pods of any of these accounts, and pods with any of these labels.
struct PodQuery {
  std::vector<AccountName> accounts;
  PodLabels labels;
};

// At most 250 bytes for each of 100,000 pods with names of 40 letters, all that is needed around them included. What
// pods share (account, node, set of labels) is kept once and counted. Not thread-safe.
class PodTable {
 public:
  void Put(const PodState& state);
  // False: there was none.
  bool Remove(const CompactUid& uid);

  std::optional<KnownPod> Find(const CompactUid& uid) const;
  // See KnownPods.
  bool LookAt(const CompactUid& uid, KnownPods::Look look) const;
  PodLabels LabelsOf(const CompactUid& uid) const;
  // Each once, in no order.
  std::vector<AccountName> AccountsOn(absl::string_view node, absl::Time now) const;
  size_t size() const { return by_uid_.size(); }
  // Looks at up to `slots_max` of the pods from where the last call ended (0: at the beginning), and adds those of
  // `query` to `found`. Where the next call begins; nullopt: all were looked at.
  std::optional<size_t> Select(const PodQuery& query, size_t from, size_t slots_max,
                               std::vector<FoundPod>& found) const;

  // A list begins: whoever is not Put from now on is unlisted.
  void BeginList() { ++list_; }
  // Looks at up to `slots_max` of the pods from where the last call ended (0: at the beginning), removes the unlisted
  // ones and adds their uids to `gone`. Where the next call begins; nullopt: all were looked at.
  std::optional<size_t> RemoveUnlisted(size_t from, size_t slots_max, std::vector<CompactUid>& gone);

 private:
  using Index = uint32_t;
  static constexpr Index kNoPod = UINT32_MAX;
  static constexpr uint32_t kNotDeleted = UINT32_MAX;

  struct Slot {
    CompactUid uid;
    std::unique_ptr<char[]> name;                  // ends with a zero; null: nobody is here
    NameTable::Number account = NameTable::kNone;  // "NAMESPACE/NAME"
    NameTable::Number node = NameTable::kNone;
    NameTable::Number labels = NameTable::kNone;
    Index next = kNoPod;  // on the same node
    Index previous = kNoPod;
    uint32_t deleted_at = kNotDeleted;  // seconds since 1970
    uint32_t created = 0;               // seconds since 1970; 0: not known
    uint32_t list = 0;                  // when it was told last
    bool ended = false;
  };

  void Fill(Slot& slot, const PodState& state);
  void Release(Index index);
  void LinkToNode(Index index);
  void UnlinkFromNode(Index index);
  KnownPod PodIn(const Slot& slot) const;
  PodLabels LabelsIn(const Slot& slot) const;
  // Whether and when it ends, alone: without the texts.
  static void FillEnd(const Slot& slot, KnownPod& pod);

  NameTable accounts_;
  NameTable nodes_;
  NameTable label_sets_;
  std::deque<Slot> slots_;
  std::vector<Index> free_;
  absl::flat_hash_map<CompactUid, Index> by_uid_;
  std::vector<Index> first_on_node_;  // by the node's number
  uint32_t list_ = 0;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_POD_TABLE_H_
