#include "ca/agents/node_entries.h"

#include <algorithm>

namespace meshca {
namespace {

bool IsPattern(absl::string_view node) { return node.find_first_of("*?") != absl::string_view::npos; }

bool NamesItsNodes(const RegistrationEntry& entry) {
  return std::none_of(entry.nodes.begin(), entry.nodes.end(), [](const std::string& node) { return IsPattern(node); });
}

// Whether an agent would be told the same of both: the nodes themselves it is not told.
bool SameForAgents(const RegistrationEntry& a, const RegistrationEntry& b) {
  return a.spiffe_id == b.spiffe_id && a.selectors == b.selectors && a.dns_names == b.dns_names && a.ttl == b.ttl &&
         a.jwt_ttl == b.jwt_ttl && a.hint == b.hint;
}

bool IdComesBefore(const RegistrationEntry* a, const RegistrationEntry* b) { return a->id < b->id; }

// About what the entry takes in a message.
size_t BytesOf(const RegistrationEntry& entry) {
  size_t bytes = 64 + entry.id.size() + entry.spiffe_id.uri().size() + entry.hint.size();
  for (const std::string& selector : entry.selectors) bytes += selector.size() + 3;
  for (const std::string& name : entry.dns_names) bytes += name.size() + 3;
  return bytes;
}

// Fills parts one after the other.
class Splitter {
 public:
  Splitter(size_t bytes_max, std::vector<EntriesPart>& parts) : bytes_max_(bytes_max), parts_(parts) {
    parts_.emplace_back();
  }
  void Put(const RegistrationEntry* entry) { Room(BytesOf(*entry)).put.push_back(entry); }
  void Delete(const std::string& id) { Room(id.size() + 3).deleted.push_back(id); }

 private:
  EntriesPart& Room(size_t bytes) {
    if (used_ > 0 && used_ + bytes > bytes_max_) {
      parts_.emplace_back();
      used_ = 0;
    }
    used_ += bytes;
    return parts_.back();
  }

  const size_t bytes_max_;
  std::vector<EntriesPart>& parts_;
  size_t used_ = 0;
};

}  // namespace

NodeEntries::NodeEntries(uint64_t revision, std::shared_ptr<const List> entries)
    : revision_(revision), entries_(std::move(entries)) {
  for (const RegistrationEntry& entry : *entries_) {
    if (entry.ServedByAgents()) all_.push_back(&entry);
  }
  std::sort(all_.begin(), all_.end(), IdComesBefore);
  for (const RegistrationEntry* entry : all_) {
    if (!NamesItsNodes(*entry)) {
      by_pattern_.push_back(entry);
      continue;
    }
    for (const std::string& node : entry->nodes) by_node_[node].push_back(entry);
  }
}

const RegistrationEntry* NodeEntries::Find(absl::string_view id) const {
  const auto found = std::lower_bound(all_.begin(), all_.end(), id, [](const RegistrationEntry* entry, auto wanted) {
    return absl::string_view(entry->id) < wanted;
  });
  return found != all_.end() && (*found)->id == id ? *found : nullptr;
}

std::vector<const RegistrationEntry*> NodeEntries::EntriesOf(absl::string_view node) const {
  std::vector<const RegistrationEntry*> entries;
  if (const auto named = by_node_.find(node); named != by_node_.end()) entries = named->second;
  for (const RegistrationEntry* entry : by_pattern_) {
    if (entry->IsFor(node)) entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(), IdComesBefore);
  return entries;
}

EntriesUpdate WholeOf(std::shared_ptr<const NodeEntries> entries, absl::string_view node, size_t part_bytes_max) {
  EntriesUpdate update;
  update.revision = entries->revision();
  Splitter splitter(part_bytes_max, update.parts);
  for (const RegistrationEntry* entry : entries->EntriesOf(node)) splitter.Put(entry);
  update.parts.front().whole = true;
  update.parts.back().complete = true;
  update.entries = std::move(entries);
  return update;
}

NodeEntriesChange::NodeEntriesChange(std::shared_ptr<const NodeEntries> before,
                                     std::shared_ptr<const NodeEntries> after, size_t part_bytes_max)
    : before_(std::move(before)), after_(std::move(after)), part_bytes_max_(part_bytes_max) {
  // Both lists are sorted by id, so one walk along them finds what differs.
  auto old = before_->all().begin();
  auto now = after_->all().begin();
  while (old != before_->all().end() || now != after_->all().end()) {
    Item item;
    if (now == after_->all().end() || (old != before_->all().end() && (*old)->id < (*now)->id)) {
      item.before = *old++;
    } else if (old == before_->all().end() || (*now)->id < (*old)->id) {
      item.after = *now++;
    } else {
      item = {*old++, *now++};
      if (SameForAgents(*item.before, *item.after) && item.before->nodes == item.after->nodes) continue;
    }
    items_.push_back(item);
    Index(static_cast<uint32_t>(items_.size() - 1));
  }
}

void NodeEntriesChange::Index(uint32_t number) {
  const Item& item = items_[number];
  if ((item.before != nullptr && !NamesItsNodes(*item.before)) ||
      (item.after != nullptr && !NamesItsNodes(*item.after))) {
    by_pattern_.push_back(number);
    return;
  }
  for (const RegistrationEntry* entry : {item.before, item.after}) {
    if (entry == nullptr) continue;
    for (const std::string& node : entry->nodes) {
      std::vector<uint32_t>& items = by_node_[node];
      if (items.empty() || items.back() != number) items.push_back(number);
    }
  }
}

NodeEntriesChange::Effect NodeEntriesChange::EffectOn(const Item& item, absl::string_view node) {
  const bool was = item.before != nullptr && item.before->IsFor(node);
  const bool is = item.after != nullptr && item.after->IsFor(node);
  if (!is) return was ? Effect::kDelete : Effect::kNone;
  // Other nodes may have come to it or gone.
  return was && SameForAgents(*item.before, *item.after) ? Effect::kNone : Effect::kPut;
}

std::shared_ptr<const EntriesUpdate> NodeEntriesChange::For(absl::string_view node) {
  std::vector<std::pair<uint32_t, Effect>> effects;
  const auto add = [&](uint32_t number) {
    const Effect effect = EffectOn(items_[number], node);
    if (effect != Effect::kNone) effects.emplace_back(number, effect);
  };
  if (const auto named = by_node_.find(node); named != by_node_.end()) {
    for (const uint32_t number : named->second) add(number);
  }
  for (const uint32_t number : by_pattern_) add(number);
  if (effects.empty()) return nullptr;
  std::shared_ptr<const EntriesUpdate>& made = made_[effects];
  if (made == nullptr) made = Make(effects);
  return made;
}

std::shared_ptr<const EntriesUpdate> NodeEntriesChange::Make(
    std::span<const std::pair<uint32_t, Effect>> effects) const {
  auto update = std::make_shared<EntriesUpdate>();
  update->revision = after_->revision();
  update->entries = after_;
  Splitter splitter(part_bytes_max_, update->parts);
  for (const auto& [number, effect] : effects) {
    const Item& item = items_[number];
    if (effect == Effect::kPut) {
      splitter.Put(item.after);
    } else {
      splitter.Delete(item.before->id);
    }
  }
  update->parts.back().complete = true;
  return update;
}

}  // namespace meshca
