#include "ca/authn/entry_cache.h"

#include <algorithm>
#include <utility>

#include "ca/authn/selector.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {

EntrySnapshot::EntrySnapshot(std::vector<RegistrationEntry> entries, OverflowIds overflow)
    : overflow_(overflow), entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end(), [](const RegistrationEntry& a, const RegistrationEntry& b) {
    return a.created_at != b.created_at ? a.created_at < b.created_at : a.id < b.id;
  });
  for (size_t index = 0; index < entries_.size(); ++index) Index(index);
}

void EntrySnapshot::Index(size_t index) {
  const RegistrationEntry& entry = entries_[index];
  Conditions conditions;
  conditions.index = index;
  // Two uids in one entry can both fit no caller; neither can an entry without a selector, or with an unknown one.
  bool fits_nobody = entry.selectors.empty();
  for (const std::string& text : entry.selectors) {
    absl::StatusOr<Selector> selector = Selector::Parse(text);
    if (!selector.ok()) {
      LogWarning("a registration entry fits nobody: a selector cannot be read",
                 {{"entry", entry.id}, {"error", std::string(selector.status().message())}});
      return;
    }
    if (const std::string fault = overflow_.Fault(*selector); !fault.empty()) {
      LogWarning("a registration entry fits nobody",
                 {{"entry", entry.id}, {"selector", text}, {"spiffe_id", entry.spiffe_id.uri()}, {"why", fault}});
      return;
    }
    switch (selector->kind) {
      case SelectorKind::kUnixUid:
        fits_nobody |= conditions.uid.value_or(selector->number) != selector->number;
        conditions.uid = selector->number;
        break;
      case SelectorKind::kUnixGid:
        fits_nobody |= conditions.gid.value_or(selector->number) != selector->number;
        conditions.gid = selector->number;
        break;
      case SelectorKind::kUnixPath:
        fits_nobody |= !conditions.path.empty() && conditions.path != selector->path;
        conditions.path = selector->path;
        break;
    }
  }
  if (fits_nobody) return;
  if (conditions.uid.has_value()) {
    by_uid_[*conditions.uid].push_back(std::move(conditions));
  } else if (conditions.gid.has_value()) {
    by_gid_[*conditions.gid].push_back(std::move(conditions));
  } else {
    by_path_.push_back(std::move(conditions));
  }
}

std::vector<const RegistrationEntry*> EntrySnapshot::Match(
    uint32_t uid, uint32_t gid, absl::FunctionRef<std::optional<std::string>()> executable) const {
  bool asked = false;
  std::optional<std::string> path;
  std::vector<size_t> found;
  auto match = [&](const std::vector<Conditions>& candidates) {
    for (const Conditions& conditions : candidates) {
      if (conditions.uid.value_or(uid) != uid || conditions.gid.value_or(gid) != gid) continue;
      if (!conditions.path.empty()) {
        if (!std::exchange(asked, true)) path = executable();
        if (path != conditions.path) continue;
      }
      found.push_back(conditions.index);
    }
  };
  if (auto it = by_uid_.find(uid); it != by_uid_.end()) match(it->second);
  if (auto it = by_gid_.find(gid); it != by_gid_.end()) match(it->second);
  match(by_path_);

  std::sort(found.begin(), found.end());
  std::vector<const RegistrationEntry*> entries;
  entries.reserve(found.size());
  for (size_t index : found) entries.push_back(&entries_[index]);
  return entries;
}

std::shared_ptr<const EntrySnapshot> EntryCache::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

absl::Status EntryCache::Reload(EntryStore& store) {
  MutexLock reload(reload_);
  absl::StatusOr<std::vector<RegistrationEntry>> entries = store.ListEntries();
  if (!entries.ok()) return Annotate(entries.status(), "registration entries");
  auto snapshot = std::make_shared<const EntrySnapshot>(*std::move(entries));
  MutexLock lock(mutex_);
  current_ = std::move(snapshot);
  return absl::OkStatus();
}

}  // namespace meshca
