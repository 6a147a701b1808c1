#include "ca/kubernetes/pod_table.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meshca::kubernetes {
namespace {

// No name has a slash, and no label a newline.
AccountName AccountOf(absl::string_view text) {
  const size_t slash = text.find('/');
  return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::string LabelSetText(PodLabels labels) {
  std::sort(labels.begin(), labels.end());
  std::string text;
  for (const auto& [key, value] : labels) absl::StrAppend(&text, key, "=", value, "\n");
  return text;
}

}  // namespace

void PodTable::Put(const PodState& state) {
  Index index = kNoPod;
  if (const auto found = by_uid_.find(state.uid); found != by_uid_.end()) {
    index = found->second;
    Release(index);
  } else if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
    by_uid_.emplace(state.uid, index);
  } else {
    index = static_cast<Index>(slots_.size());
    slots_.emplace_back();
    by_uid_.emplace(state.uid, index);
  }
  Fill(slots_[index], state);
  LinkToNode(index);
}

void PodTable::Fill(Slot& slot, const PodState& state) {
  slot.uid = state.uid;
  slot.name = std::make_unique<char[]>(state.pod.name.size() + 1);
  std::memcpy(slot.name.get(), state.pod.name.c_str(), state.pod.name.size() + 1);
  slot.account = accounts_.Take(state.pod.account.Text());
  slot.node = nodes_.Take(state.pod.node);
  slot.labels = label_sets_.Take(LabelSetText(state.labels));
  slot.deleted_at = state.pod.deleted_at == absl::InfiniteFuture()
                        ? kNotDeleted
                        : static_cast<uint32_t>(std::clamp<int64_t>(absl::ToUnixSeconds(state.pod.deleted_at), 0,
                                                                    int64_t{kNotDeleted} - 1));
  if (state.pod.created != absl::InfinitePast()) {
    slot.created = static_cast<uint32_t>(
        std::clamp<int64_t>(absl::ToUnixSeconds(state.pod.created), 0, std::numeric_limits<uint32_t>::max()));
  }
  slot.list = list_;
  slot.ended = state.pod.ended;
}

// What the slot holds of others; the slot itself stays.
void PodTable::Release(Index index) {
  UnlinkFromNode(index);
  Slot& slot = slots_[index];
  accounts_.Drop(slot.account);
  nodes_.Drop(slot.node);
  label_sets_.Drop(slot.labels);
  slot = Slot();
}

bool PodTable::Remove(const CompactUid& uid) {
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end()) return false;
  const Index index = found->second;
  by_uid_.erase(found);
  Release(index);
  free_.push_back(index);
  return true;
}

void PodTable::LinkToNode(Index index) {
  Slot& slot = slots_[index];
  if (slot.node == NameTable::kNone) return;
  if (first_on_node_.size() < nodes_.size()) first_on_node_.resize(nodes_.size(), kNoPod);
  Index& first = first_on_node_[slot.node];
  slot.next = first;
  if (first != kNoPod) slots_[first].previous = index;
  first = index;
}

void PodTable::UnlinkFromNode(Index index) {
  Slot& slot = slots_[index];
  if (slot.node == NameTable::kNone) return;
  if (slot.previous != kNoPod) {
    slots_[slot.previous].next = slot.next;
  } else {
    first_on_node_[slot.node] = slot.next;
  }
  if (slot.next != kNoPod) slots_[slot.next].previous = slot.previous;
  slot.next = slot.previous = kNoPod;
}

KnownPod PodTable::PodIn(const Slot& slot) const {
  KnownPod pod;
  pod.name = slot.name.get();
  pod.account = AccountOf(accounts_.Text(slot.account));
  pod.node = std::string(nodes_.Text(slot.node));
  FillEnd(slot, pod);
  if (slot.created != 0) pod.created = absl::FromUnixSeconds(slot.created);
  return pod;
}

void PodTable::FillEnd(const Slot& slot, KnownPod& pod) {
  pod.ended = slot.ended;
  if (slot.deleted_at != kNotDeleted) pod.deleted_at = absl::FromUnixSeconds(slot.deleted_at);
}

std::optional<KnownPod> PodTable::Find(const CompactUid& uid) const {
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end()) return std::nullopt;
  return PodIn(slots_[found->second]);
}

bool PodTable::LookAt(const CompactUid& uid, KnownPods::Look look) const {
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end()) return false;
  const Slot& slot = slots_[found->second];
  KnownPod ends;
  FillEnd(slot, ends);
  const absl::string_view account = accounts_.Text(slot.account);
  const size_t slash = std::min(account.find('/'), account.size());
  look(PodView{slot.name.get(), account.substr(0, slash), account.substr(std::min(slash + 1, account.size())),
               nodes_.Text(slot.node), ends.ended, ends.deleted_at});
  return true;
}

PodLabels PodTable::LabelsIn(const Slot& slot) const {
  PodLabels labels;
  for (const absl::string_view line : absl::StrSplit(label_sets_.Text(slot.labels), '\n', absl::SkipEmpty())) {
    const size_t sign = line.find('=');
    labels.emplace_back(std::string(line.substr(0, sign)), std::string(line.substr(sign + 1)));
  }
  return labels;
}

PodLabels PodTable::LabelsOf(const CompactUid& uid) const {
  const auto found = by_uid_.find(uid);
  return found == by_uid_.end() ? PodLabels() : LabelsIn(slots_[found->second]);
}

// Accounts are told apart by their numbers, and of a hundred thousand pods few have a label that is kept.
std::optional<size_t> PodTable::Select(const PodQuery& query, size_t from, size_t slots_max,
                                       std::vector<FoundPod>& found) const {
  std::vector<NameTable::Number> accounts;
  for (const AccountName& account : query.accounts) {
    if (const NameTable::Number number = accounts_.Find(account.Text()); number != NameTable::kNone) {
      accounts.push_back(number);
    }
  }
  const auto is_wanted = [&](const Slot& slot) {
    if (std::find(accounts.begin(), accounts.end(), slot.account) != accounts.end()) return true;
    if (slot.labels == NameTable::kNone) return false;
    const PodLabels labels = LabelsIn(slot);
    return std::any_of(labels.begin(), labels.end(), [&](const auto& label) {
      return std::find(query.labels.begin(), query.labels.end(), label) != query.labels.end();
    });
  };
  const size_t end = std::min(slots_.size(), from + slots_max);
  for (size_t index = from; index < end; ++index) {
    const Slot& slot = slots_[index];
    if (slot.name != nullptr && is_wanted(slot)) found.push_back({PodIn(slot), LabelsIn(slot)});
  }
  return end == slots_.size() ? std::nullopt : std::optional<size_t>(end);
}

std::vector<AccountName> PodTable::AccountsOn(absl::string_view node, absl::Time now) const {
  std::vector<AccountName> accounts;
  const NameTable::Number number = nodes_.Find(node);
  if (number == NameTable::kNone) return accounts;
  std::vector<NameTable::Number> seen;
  for (Index index = first_on_node_[number]; index != kNoPod; index = slots_[index].next) {
    const Slot& slot = slots_[index];
    if (std::find(seen.begin(), seen.end(), slot.account) != seen.end()) continue;
    KnownPod ends;
    FillEnd(slot, ends);
    if (!Lives(ends, now)) continue;
    seen.push_back(slot.account);
    accounts.push_back(AccountOf(accounts_.Text(slot.account)));
  }
  return accounts;
}

std::optional<size_t> PodTable::RemoveUnlisted(size_t from, size_t slots_max, std::vector<CompactUid>& gone) {
  const size_t end = std::min(slots_.size(), from + slots_max);
  for (size_t index = from; index < end; ++index) {
    const Slot& slot = slots_[index];
    if (slot.name == nullptr || slot.list == list_) continue;
    gone.push_back(slot.uid);
    Remove(gone.back());
  }
  return end == slots_.size() ? std::nullopt : std::optional<size_t>(end);
}

}  // namespace meshca::kubernetes
