#include "ca/kubernetes/pod_directory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca::kubernetes {
namespace {

// Pods that are looked at under one hold of the lock when a list has ended.
constexpr size_t kSlotsAtOnce = 1024;

// In the order of PodPaths.
enum PodField {
  kPodUid,
  kPodNamespace,
  kPodName,
  kPodAccount,
  kPodNode,
  kPodPhase,
  kPodDeletedAt,
  kPodLabels,
  kPodCreated
};
// In the order of AccountPaths.
enum AccountField { kAccountUid, kAccountNamespace, kAccountName };

std::string AccountText(const PickedFields& object) {
  return absl::StrCat(object.Text(kAccountNamespace), "/", object.Text(kAccountName));
}

}  // namespace

PodDirectory::PodDirectory(std::set<std::string> kept_labels) : kept_labels_(std::move(kept_labels)) {}

std::vector<std::string> PodDirectory::PodPaths() {
  return {
      "metadata.uid", "metadata.namespace",         "metadata.name",     "spec.serviceAccountName",   "spec.nodeName",
      "status.phase", "metadata.deletionTimestamp", "metadata.labels.*", "metadata.creationTimestamp"};
}

std::vector<std::string> PodDirectory::AccountPaths() {
  return {"metadata.uid", "metadata.namespace", "metadata.name"};
}

PodState PodDirectory::ReadPod(const PickedFields& object, const CompactUid& uid) const {
  PodState state;
  state.uid = uid;
  state.pod.name = std::string(object.Text(kPodName));
  state.pod.account = {std::string(object.Text(kPodNamespace)), std::string(object.Text(kPodAccount))};
  state.pod.node = std::string(object.Text(kPodNode));
  const absl::string_view phase = object.Text(kPodPhase);
  state.pod.ended = phase == "Succeeded" || phase == "Failed";
  const absl::string_view deleted = object.Text(kPodDeletedAt);
  absl::Time at;
  if (!deleted.empty() && absl::ParseTime(absl::RFC3339_full, deleted, &at, nullptr)) state.pod.deleted_at = at;
  if (absl::ParseTime(absl::RFC3339_full, object.Text(kPodCreated), &at, nullptr)) state.pod.created = at;
  for (const auto& [key, value] : object.All(kPodLabels)) {
    if (kept_labels_.contains(key) || kept_labels_.contains(absl::StrCat(key, "=", value)))
      state.labels.emplace_back(key, value);
  }
  return state;
}

void PodDirectory::PodSink::OnListBegin() {
  MutexLock lock(directory_.mutex_);
  directory_.pods_.BeginList();
}

void PodDirectory::PodSink::OnListEnd() {
  std::optional<size_t> from = 0;
  while (from.has_value()) {
    std::vector<CompactUid> gone;
    MutexLock lock(directory_.mutex_);
    from = directory_.pods_.RemoveUnlisted(*from, kSlotsAtOnce, gone);
    for (const CompactUid& uid : gone) directory_.gone_.Add(uid);
  }
  ++directory_.changes_;
}

// An object without a uid is none that the API server stores: left out, its tokens are judged over there.
void PodDirectory::PodSink::OnObject(const PickedFields& object) {
  const std::optional<CompactUid> uid = CompactUid::Parse(object.Text(kPodUid));
  if (!uid.has_value()) return;
  const PodState state = directory_.ReadPod(object, *uid);
  {
    MutexLock lock(directory_.mutex_);
    directory_.pods_.Put(state);
    directory_.gone_.Remove(*uid);
  }
  ++directory_.changes_;
}

void PodDirectory::PodSink::OnGone(const PickedFields& object) {
  const std::optional<CompactUid> uid = CompactUid::Parse(object.Text(kPodUid));
  if (!uid.has_value()) return;
  {
    MutexLock lock(directory_.mutex_);
    directory_.pods_.Remove(*uid);
    directory_.gone_.Add(*uid);
  }
  ++directory_.changes_;
}

void PodDirectory::AccountSink::OnListBegin() {
  MutexLock lock(directory_.mutex_);
  ++directory_.account_list_;
}

void PodDirectory::AccountSink::OnListEnd() {
  {
    MutexLock lock(directory_.mutex_);
    absl::erase_if(directory_.accounts_, [this](const auto& each) {
      directory_.mutex_.AssertHeld();
      if (each.second.list == directory_.account_list_) return false;
      directory_.gone_.Add(each.second.uid);
      return true;
    });
  }
  ++directory_.changes_;
}

void PodDirectory::AccountSink::OnObject(const PickedFields& object) {
  const std::optional<CompactUid> uid = CompactUid::Parse(object.Text(kAccountUid));
  if (!uid.has_value()) return;
  {
    MutexLock lock(directory_.mutex_);
    Account& account = directory_.accounts_.try_emplace(AccountText(object), Account{*uid, 0}).first->second;
    // Made anew under its name, and nobody told that the old one went: pods of that one have its tokens still.
    if (account.uid != *uid) directory_.gone_.Add(account.uid);
    account = {*uid, directory_.account_list_};
    directory_.gone_.Remove(*uid);
  }
  ++directory_.changes_;
}

void PodDirectory::AccountSink::OnGone(const PickedFields& object) {
  const std::optional<CompactUid> uid = CompactUid::Parse(object.Text(kAccountUid));
  if (!uid.has_value()) return;
  {
    MutexLock lock(directory_.mutex_);
    const auto found = directory_.accounts_.find(AccountText(object));
    if (found != directory_.accounts_.end() && found->second.uid == *uid) directory_.accounts_.erase(found);
    directory_.gone_.Add(*uid);
  }
  ++directory_.changes_;
}

std::optional<KnownPod> PodDirectory::FindPod(absl::string_view uid) const {
  const std::optional<CompactUid> compact = CompactUid::Parse(uid);
  if (!compact.has_value()) return std::nullopt;
  MutexLock lock(mutex_);
  return pods_.Find(*compact);
}

bool PodDirectory::LookAt(absl::string_view uid, KnownPods::Look look) const {
  const std::optional<CompactUid> compact = CompactUid::Parse(uid);
  if (!compact.has_value()) return false;
  MutexLock lock(mutex_);
  return pods_.LookAt(*compact, look);
}

bool PodDirectory::IsAccountUid(const AccountName& account, absl::string_view uid) const {
  const std::string name = account.Text();
  const std::optional<CompactUid> compact = CompactUid::Parse(uid);
  if (!compact.has_value()) return false;
  MutexLock lock(mutex_);
  const auto found = accounts_.find(name);
  return found != accounts_.end() && found->second.uid == *compact;
}

std::string PodDirectory::AccountUid(const AccountName& account) const {
  const std::string name = account.Text();
  MutexLock lock(mutex_);
  const auto found = accounts_.find(name);
  return found == accounts_.end() ? "" : found->second.uid.Text();
}

bool PodDirectory::IsGone(absl::string_view uid) const {
  const std::optional<CompactUid> compact = CompactUid::Parse(uid);
  if (!compact.has_value()) return false;
  MutexLock lock(mutex_);
  return gone_.Contains(*compact);
}

std::vector<AccountName> PodDirectory::AccountsOn(absl::string_view node, absl::Time now) const {
  MutexLock lock(mutex_);
  return pods_.AccountsOn(node, now);
}

PodLabels PodDirectory::LabelsOf(absl::string_view pod_uid) const {
  const std::optional<CompactUid> compact = CompactUid::Parse(pod_uid);
  if (!compact.has_value()) return {};
  MutexLock lock(mutex_);
  return pods_.LabelsOf(*compact);
}

std::vector<FoundPod> PodDirectory::Find(const PodQuery& query) const {
  std::vector<FoundPod> found;
  std::optional<size_t> from = 0;
  while (from.has_value()) {
    MutexLock lock(mutex_);
    from = pods_.Select(query, *from, kSlotsAtOnce, found);
  }
  return found;
}

size_t PodDirectory::pod_count() const {
  MutexLock lock(mutex_);
  return pods_.size();
}

}  // namespace meshca::kubernetes
