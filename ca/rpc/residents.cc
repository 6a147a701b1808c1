#include "ca/rpc/residents.h"

#include <algorithm>

#include "ca/base/check.h"

namespace meshca::rpc {

Residents::~Residents() { MESHCA_CHECK(crowds_.empty()); }

void Residents::Append(List& list, Entry& entry) {
  entry.previous_ = list.last;
  entry.next_ = nullptr;
  (list.last != nullptr ? list.last->next_ : list.first) = &entry;
  list.last = &entry;
}

void Residents::Unlink(List& list, Entry& entry) {
  (entry.previous_ != nullptr ? entry.previous_->next_ : list.first) = entry.next_;
  (entry.next_ != nullptr ? entry.next_->previous_ : list.last) = entry.previous_;
}

void Residents::Add(Entry& entry, const Source& source) {
  MESHCA_CHECK(entry.crowd_ == nullptr);
  std::unique_ptr<Crowd>& crowd = crowds_[&source];
  if (!crowd) {
    crowd = std::make_unique<Crowd>();
    crowd->source = &source;
  }
  entry.crowd_ = crowd.get();
  entry.busy_ = false;
  Append(crowd->idle, entry);
  ++crowd->count;
  // No crowd has more than largest_before_, also when the largest has shrunk since; where it has gone, one is searched
  // when it is needed.
  if (largest_ != nullptr && crowd->count > largest_before_) {
    largest_ = crowd.get();
    largest_before_ = crowd->count;
  }
}

void Residents::Remove(Entry& entry) {
  Crowd* const crowd = entry.crowd_;
  if (crowd == nullptr) return;
  Unlink(entry.busy_ ? crowd->busy : crowd->idle, entry);
  entry.crowd_ = nullptr;
  if (--crowd->count > 0) return;
  if (largest_ == crowd) largest_ = nullptr;
  crowds_.erase(crowd->source);
}

void Residents::Touch(Entry& entry, bool busy) {
  Crowd* const crowd = entry.crowd_;
  if (crowd == nullptr) return;
  Unlink(entry.busy_ ? crowd->busy : crowd->idle, entry);
  entry.busy_ = busy;
  Append(busy ? crowd->busy : crowd->idle, entry);
}

Residents::Entry* Residents::IdlestOf(const Source& source) const {
  const auto found = crowds_.find(&source);
  return found == crowds_.end() ? nullptr : IdlestIn(*found->second);
}

Residents::Entry* Residents::IdlestOfTheLargest() {
  if (crowds_.empty()) return nullptr;
  if (largest_ == nullptr || largest_->count < largest_before_ - largest_before_ / 8) {
    largest_ = nullptr;
    for (const auto& [source, crowd] : crowds_) {
      if (largest_ == nullptr || crowd->count > largest_->count) largest_ = crowd.get();
    }
    largest_before_ = largest_->count;
  }
  return IdlestIn(*largest_);
}

const Source& Residents::SourceOf(const Entry& entry) {
  MESHCA_CHECK(entry.crowd_ != nullptr);
  return *entry.crowd_->source;
}

}  // namespace meshca::rpc
