#include "ca/request_signing/due_requests.h"

namespace meshca {

void DueRequests::TakeOut(const std::string& asker, const OfAsker& of) {
  if (of.due.empty()) return;
  sizes_.erase({of.due.size(), asker});
  if (of.at.has_value())
    later_.erase({*of.at, asker});
  else
    ready_.erase(asker);
}

void DueRequests::PutBack(const std::string& asker, OfAsker& of, bool is_ready) {
  sizes_.emplace(of.due.size(), asker);
  of.at.reset();
  if (is_ready) {
    ready_.insert(asker);
  } else {
    of.at = of.due.begin()->first;
    later_.emplace(*of.at, asker);
  }
}

void DueRequests::Put(const std::string& asker, const std::string& uid, absl::Duration due) {
  OfAsker& of = askers_[asker];
  const bool is_ready = !of.due.empty() && !of.at.has_value();
  TakeOut(asker, of);
  of.due.emplace(due, uid);
  PutBack(asker, of, is_ready);
}

void DueRequests::Remove(const std::string& asker, const std::string& uid, absl::Duration due) {
  const auto found = askers_.find(asker);
  if (found == askers_.end()) return;
  OfAsker& of = found->second;
  TakeOut(asker, of);
  of.due.erase({due, uid});
  if (of.due.empty()) {
    askers_.erase(found);
  } else {
    // Whether it is still ready the next Take finds out.
    PutBack(asker, of, false);
  }
}

std::optional<std::string> DueRequests::Take(absl::Duration now) {
  while (!later_.empty() && later_.begin()->first <= now) {
    const std::string asker = later_.begin()->second;
    OfAsker& of = askers_.at(asker);
    TakeOut(asker, of);
    PutBack(asker, of, true);
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
  return askers_.at(sizes_.rbegin()->second).due.rbegin()->second;
}

}  // namespace meshca
