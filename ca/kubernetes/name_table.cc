#include "ca/kubernetes/name_table.h"

namespace meshca::kubernetes {

NameTable::Number NameTable::Take(absl::string_view name) {
  if (name.empty()) return kNone;
  if (const auto found = numbers_.find(name); found != numbers_.end()) {
    ++entries_[found->second].holders;
    return found->second;
  }
  Number number = 0;
  if (free_.empty()) {
    number = static_cast<Number>(entries_.size());
    entries_.emplace_back();
  } else {
    number = free_.back();
    free_.pop_back();
  }
  Entry& entry = entries_[number];
  entry.text = std::string(name);
  entry.holders = 1;
  numbers_.emplace(entry.text, number);
  return number;
}

void NameTable::Drop(Number number) {
  if (number == kNone) return;
  Entry& entry = entries_[number];
  if (--entry.holders > 0) return;
  numbers_.erase(entry.text);
  entry.text = std::string();  // gives its memory back, as clear() would not
  free_.push_back(number);
}

NameTable::Number NameTable::Find(absl::string_view name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? kNone : found->second;
}

absl::string_view NameTable::Text(Number number) const {
  return number == kNone ? absl::string_view() : absl::string_view(entries_[number].text);
}

}  // namespace meshca::kubernetes
