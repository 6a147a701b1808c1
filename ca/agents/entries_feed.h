// Brings the entries of each node to its agent: all of them when it attaches, then what changes.
#ifndef MESHCA_CA_AGENTS_ENTRIES_FEED_H_
#define MESHCA_CA_AGENTS_ENTRIES_FEED_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/agents/node_entries.h"
#include "ca/base/mutex.h"

namespace meshca {

// Thread-safe. Revisions begin at the time of the start, in microseconds, so that those of a server that was started
// again are higher than those that agents were told before.
class EntriesFeed {
 public:
  // Who is told. Its function runs on the thread of Update with the feed's lock held: it does not block and does not
  // call the feed.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void OnEntries(std::shared_ptr<const EntriesUpdate> update) = 0;
  };

  // Ends with destruction: the listener is not called afterwards. Can be moved.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept { *this = std::move(other); }
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription() { End(); }

   private:
    friend class EntriesFeed;
    void End();
    EntriesFeed* feed_ = nullptr;
    uint64_t number_ = 0;
  };

  explicit EntriesFeed(absl::Time started);

  // The registration entries are from now on what `read` returns. It is called with a lock held, so that of two updates
  // at once the later one has read the later entries. Every subscriber whose node is affected is told what changes for
  // it; what changes alike for many is computed once.
  void Update(absl::FunctionRef<std::shared_ptr<const NodeEntries::List>()> read);

  // Never null.
  std::shared_ptr<const NodeEntries> Current() const;

  // From now on `listener`, which outlives the subscription, hears what changes for `node` after `*state`.
  Subscription Subscribe(absl::string_view node, std::shared_ptr<Listener> listener,
                         std::shared_ptr<const NodeEntries>* state);

 private:
  struct Subscriber {
    std::string node;
    std::shared_ptr<Listener> listener;
  };

  Mutex update_;  // held across an update, so that an older one never replaces a newer one
  mutable Mutex mutex_;
  std::shared_ptr<const NodeEntries> current_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Subscriber> subscribers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_ENTRIES_FEED_H_
