#include "ca/agents/entries_feed.h"

namespace meshca {

EntriesFeed::EntriesFeed(absl::Time started)
    : current_(std::make_shared<const NodeEntries>(static_cast<uint64_t>(absl::ToUnixMicros(started)),
                                                   std::make_shared<const NodeEntries::List>())) {}

void EntriesFeed::Update(absl::FunctionRef<std::shared_ptr<const NodeEntries::List>()> read) {
  MutexLock update(update_);
  const std::shared_ptr<const NodeEntries> before = Current();
  const auto after = std::make_shared<const NodeEntries>(before->revision() + 1, read());
  // The comparison of two long lists is done before anybody has to wait for the lock.
  NodeEntriesChange change(before, after);
  MutexLock lock(mutex_);
  // Also where nothing differs: `before` would keep the whole old list.
  current_ = after;
  if (change.empty()) return;
  for (const auto& [number, subscriber] : subscribers_) {
    if (auto news = change.For(subscriber.node); news != nullptr) subscriber.listener->OnEntries(std::move(news));
  }
}

std::shared_ptr<const NodeEntries> EntriesFeed::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

EntriesFeed::Subscription EntriesFeed::Subscribe(absl::string_view node, std::shared_ptr<Listener> listener,
                                                 std::shared_ptr<const NodeEntries>* state) {
  MutexLock lock(mutex_);
  *state = current_;
  Subscription subscription;
  subscription.feed_ = this;
  subscription.number_ = ++last_number_;
  subscribers_.emplace(subscription.number_, Subscriber{std::string(node), std::move(listener)});
  return subscription;
}

EntriesFeed::Subscription& EntriesFeed::Subscription::operator=(Subscription&& other) noexcept {
  End();
  feed_ = std::exchange(other.feed_, nullptr);
  number_ = std::exchange(other.number_, 0);
  return *this;
}

void EntriesFeed::Subscription::End() {
  EntriesFeed* const feed = std::exchange(feed_, nullptr);
  if (feed == nullptr) return;
  MutexLock lock(feed->mutex_);
  feed->subscribers_.erase(number_);
}

}  // namespace meshca
