#include "ca/request_signing/due_requests.h"

namespace meshca {

void DueRequests::TakeOut(const std::string& asker, const Queue& queue) {
  if (queue.due.empty()) return;
  sizes_.erase({queue.due.size(), asker});
  if (queue.at.has_value())
    later_.erase({*queue.at, asker});
  else
    ready_.erase(asker);
}

void DueRequests::PutBack(const std::string& asker, Queue& queue, bool is_ready) {
  sizes_.emplace(queue.due.size(), asker);
  queue.at.reset();
  if (is_ready) {
    ready_.insert(asker);
  } else {
    queue.at = queue.due.begin()->first;
    later_.emplace(*queue.at, asker);
  }
}

void DueRequests::Put(const std::string& asker, const std::string& uid, absl::Duration due, bool costly) {
  Queue& queue = askers_[asker];
  const bool is_ready = !queue.due.empty() && !queue.at.has_value();
  TakeOut(asker, queue);
  queue.due.emplace(due, uid);
  if (!costly) queue.cheap.emplace(due, uid);
  PutBack(asker, queue, is_ready);
}

void DueRequests::Remove(const std::string& asker, const std::string& uid, absl::Duration due) {
  const auto found = askers_.find(asker);
  if (found == askers_.end()) return;
  Queue& queue = found->second;
  TakeOut(asker, queue);
  queue.due.erase({due, uid});
  queue.cheap.erase({due, uid});
  if (queue.due.empty()) {
    askers_.erase(found);
  } else {
    // Whether it is still ready the next Take finds out.
    PutBack(asker, queue, false);
  }
}

std::optional<std::string> DueRequests::Take(absl::Duration now) {
  while (!later_.empty() && later_.begin()->first <= now) {
    const std::string asker = later_.begin()->second;
    Queue& queue = askers_.at(asker);
    TakeOut(asker, queue);
    PutBack(asker, queue, true);
  }
  if (ready_.empty()) return std::nullopt;
  auto turn = ready_.upper_bound(last_);
  if (turn == ready_.end()) turn = ready_.begin();
  last_ = *turn;
  const Times& due = askers_.at(last_).due;
  const auto [when, uid] = *due.begin();
  Remove(last_, uid, when);
  return uid;
}

absl::Duration DueRequests::Next() const {
  if (!ready_.empty()) return askers_.at(*ready_.begin()).due.begin()->first;
  return later_.empty() ? absl::InfiniteDuration() : later_.begin()->first;
}

size_t DueRequests::CountOf(const std::string& asker) const {
  const auto found = askers_.find(asker);
  return found == askers_.end() ? 0 : found->second.due.size();
}

std::optional<std::string> DueRequests::LastOfWhoHasMoreThan(size_t count) const {
  if (sizes_.empty() || sizes_.rbegin()->first <= count) return std::nullopt;
  const Queue& queue = askers_.at(sizes_.rbegin()->second);
  return (queue.cheap.empty() ? queue.due : queue.cheap).rbegin()->second;
}

}  // namespace meshca
