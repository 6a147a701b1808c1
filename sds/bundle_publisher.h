// The trust bundles of the moment, as secrets, and the streams that hear of the next.
#ifndef MESHCA_SDS_BUNDLE_PUBLISHER_H_
#define MESHCA_SDS_BUNDLE_PUBLISHER_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"
#include "ca/rpc/typed_stream_handle.h"
#include "ca/subscribers/trust_version.h"
#include "sds/evictable_stream.h"
#include "sds/secret_name.h"
#include "sds/secret_snapshot.h"
#include "sds/trust_source.h"

namespace meshca::sds {

// One value of trust under the names that SDS has for it. Immutable; shared by every thread.
struct BundleSecrets {
  TrustVersion version = 0;
  std::shared_ptr<const SecretSnapshot> root_ca;  // `ROOTCA`: the roots of our own trust domain
  std::shared_ptr<const SecretSnapshot> domain;   // `spiffe://td`: the same
  std::shared_ptr<const SecretSnapshot> all;      // `ALL`: those of every trust domain

  explicit BundleSecrets(const Trust& trust);

  // Of a name that is kBundle or kAllBundles; never null.
  std::shared_ptr<const SecretSnapshot> Find(const ResolvedName& name) const;
  // Is it one of the three above, which are there whether anybody asks for them or not?
  bool IsShared(const SecretSnapshot& snapshot) const {
    return &snapshot == root_ca.get() || &snapshot == domain.get() || &snapshot == all.get();
  }
};

// A stream that carries bundles. Its subscriber is one that a rotation waits for, so it can be evicted too.
class BundleWatcher : public EvictableStream {
 public:
  // On the stream's own loop.
  virtual void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) = 0;
};

// Makes secrets of each value of trust and tells the streams that watch: one wake-up a loop, with bytes serialised once
// a protocol, however many streams there are. Thread-safe.
class BundlePublisher {
 public:
  // One stream's place among those that hear of changes; ends with its life. Moves; any one thread at a time.
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept { *this = std::move(other); }
    Watch& operator=(Watch&& other) noexcept;
    ~Watch() { End(); }
    void End();
    explicit operator bool() const { return publisher_ != nullptr; }

   private:
    friend class BundlePublisher;
    BundlePublisher* publisher_ = nullptr;
    size_t place_ = 0;  // in watchers_
  };

  // `trust` outlives the publisher, and no watch does.
  explicit BundlePublisher(TrustSource& trust) : trust_(trust) {}

  // Publishes the trust of the moment, and from now on each later one. Once.
  void Start();

  // Null: nothing was published yet, because the CA is starting.
  std::shared_ptr<const BundleSecrets> Current() const;
  // The same, and `watcher` hears of every change after it. Where `watch` runs already, it goes on; where the answer is
  // null, none begins.
  std::shared_ptr<const BundleSecrets> StartWatching(rpc::TypedStreamHandle<BundleWatcher> watcher, Watch& watch);

 private:
  void Publish(const Trust& trust);
  void EndWatch(size_t place);

  TrustSource& trust_;

  mutable Mutex mutex_;
  std::shared_ptr<const BundleSecrets> current_ ABSL_GUARDED_BY(mutex_);
  // By Watch::place_. The places of watches that ended are empty, and free for the next.
  std::vector<rpc::TypedStreamHandle<BundleWatcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> free_places_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_BUNDLE_PUBLISHER_H_
