#include "ca/authn/entry_cache.h"

#include <algorithm>
#include <utility>

#include "ca/authn/selector_kind.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

size_t RankOfKind(const SelectorKind* kind) {
  const absl::Span<const SelectorKind* const> kinds = SelectorKinds();
  return static_cast<size_t>(std::find(kinds.begin(), kinds.end(), kind) - kinds.begin());
}

bool Fits(const Selector& selector, ProcessFacts& process) {
  const absl::StatusOr<std::vector<std::string>> values = selector.kind->ValuesOf(process);
  return values.ok() && std::find(values->begin(), values->end(), selector.value) != values->end();
}

}  // namespace

EntrySnapshot::EntrySnapshot(std::vector<RegistrationEntry> entries, OverflowIds overflow)
    : overflow_(overflow), entries_(std::move(entries)), by_value_(SelectorKinds().size()) {
  std::sort(entries_.begin(), entries_.end(), [](const RegistrationEntry& a, const RegistrationEntry& b) {
    return a.created_at != b.created_at ? a.created_at < b.created_at : a.id < b.id;
  });
  for (size_t index = 0; index < entries_.size(); ++index) Index(index);
}

void EntrySnapshot::Index(size_t index) {
  const RegistrationEntry& entry = entries_[index];
  if (entry.selectors.empty()) return;  // it would fit everybody
  Conditions conditions;
  conditions.index = index;
  for (const std::string& text : entry.selectors) {
    absl::StatusOr<Selector> selector = Selector::Parse(text);
    if (!selector.ok()) {
      LogWarning("a registration entry fits nobody: a selector cannot be read",
                 {{"entry", entry.id}, {"error", std::string(selector.status().message())}});
      return;
    }
    if (const std::string fault = selector->kind->WhyFitsNobody(selector->value, overflow_); !fault.empty()) {
      LogWarning("a registration entry fits nobody",
                 {{"entry", entry.id}, {"selector", text}, {"spiffe_id", entry.spiffe_id.uri()}, {"why", fault}});
      return;
    }
    conditions.rest.push_back(*std::move(selector));
  }
  const auto first =
      std::min_element(conditions.rest.begin(), conditions.rest.end(),
                       [](const Selector& a, const Selector& b) { return RankOfKind(a.kind) < RankOfKind(b.kind); });
  const Selector found_by = *first;
  conditions.rest.erase(first);
  by_value_[RankOfKind(found_by.kind)][found_by.value].push_back(std::move(conditions));
}

std::vector<const RegistrationEntry*> EntrySnapshot::Match(ProcessFacts& process) const {
  const absl::Span<const SelectorKind* const> kinds = SelectorKinds();
  std::vector<size_t> found;
  for (size_t rank = 0; rank < kinds.size(); ++rank) {
    if (by_value_[rank].empty()) continue;
    const absl::StatusOr<std::vector<std::string>> values = kinds[rank]->ValuesOf(process);
    if (!values.ok()) continue;
    for (const std::string& value : *values) {
      auto it = by_value_[rank].find(value);
      if (it == by_value_[rank].end()) continue;
      for (const Conditions& conditions : it->second) {
        const bool fits = std::all_of(conditions.rest.begin(), conditions.rest.end(),
                                      [&](const Selector& selector) { return Fits(selector, process); });
        if (fits) found.push_back(conditions.index);
      }
    }
  }
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
  stale_.store(!entries.ok(), std::memory_order_release);
  if (!entries.ok()) return Annotate(entries.status(), "registration entries");
  Publish(*std::move(entries));
  return absl::OkStatus();
}

void EntryCache::Publish(std::vector<RegistrationEntry> entries) {
  auto snapshot = std::make_shared<const EntrySnapshot>(std::move(entries));
  MutexLock lock(mutex_);
  current_.swap(snapshot);
}

}  // namespace meshca
