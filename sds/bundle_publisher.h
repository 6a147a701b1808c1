// Turns what is trusted now into SDS secrets, and tells the streams that carry such secrets of each change.
#ifndef MESHCA_SDS_BUNDLE_PUBLISHER_H_
#define MESHCA_SDS_BUNDLE_PUBLISHER_H_

#include <atomic>
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
#include "sds/workload_bundles.h"

namespace meshca::sds {

// What is made from one `Trust`: the secrets under the names that SDS clients ask for, and what clients of the SPIFFE
// Workload API get. Immutable; shared by every thread.
struct BundleSecrets {
  TrustVersion version = 0;
  std::shared_ptr<const SecretSnapshot> root_ca;  // `ROOTCA`: the roots of our own trust domain
  std::shared_ptr<const SecretSnapshot> domain;   // `spiffe://td`: the same
  std::shared_ptr<const SecretSnapshot> all;      // `ALL`: those of every trust domain
  WorkloadBundles workload;

  explicit BundleSecrets(const Trust& trust);

  // The secret of `name`, whose kind is kBundle or kAllBundles. Never null.
  std::shared_ptr<const SecretSnapshot> Find(const ResolvedName& name) const;
  // Whether `snapshot` is one of the three above. They exist for everybody, so no stream is charged for them.
  bool IsShared(const SecretSnapshot& snapshot) const {
    return &snapshot == root_ca.get() || &snapshot == domain.get() || &snapshot == all.get();
  }
};

// A stream that carries bundles. A rotation waits for its subscriber, so the operator can evict that subscriber.
class BundleWatcher : public EvictableStream {
 public:
  // The trust changed. Runs on the stream's own loop.
  virtual void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) = 0;
  // Registration entries changed: the caller may have other rights now. Runs on the stream's own loop.
  virtual void OnEntriesChanged() {}
  // Some watcher's caller could not be judged when entries changed, because the judge was away or had no room: it may
  // be this one's. Runs on the stream's own loop.
  virtual void OnJudgeAgain() {}
};

// Makes the secrets of each new `Trust` once and tells every watching stream. However many streams watch, each loop is
// woken once, and a response is serialised once for each protocol. Thread-safe.
class BundlePublisher {
 public:
  // Registers one stream for changes until End or destruction. Can be moved; used by one thread at a time.
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

  // `trust` outlives the publisher, and the publisher outlives every Watch.
  explicit BundlePublisher(TrustSource& trust) : trust_(trust) {}

  // Publishes what `trust` holds now, if anything, and from then on each change. Called once.
  void Start();

  // Calls OnEntriesChanged of every watcher.
  void TellEntriesChanged() const;
  // From a watcher: its caller could not be judged. JudgeAgain then calls OnJudgeAgain of every watcher, once.
  void JudgeLater() { judge_later_ = true; }
  void JudgeAgain();

  // What was published last. Null: nothing was yet, because the CA is starting.
  std::shared_ptr<const BundleSecrets> Current() const;
  // Returns Current(), and registers `watcher` in `watch` to be told of every later change. A `watch` that is
  // registered already stays as it is. When the answer is null nothing is registered: the caller has to ask again.
  std::shared_ptr<const BundleSecrets> StartWatching(rpc::TypedStreamHandle<BundleWatcher> watcher, Watch& watch);

 private:
  void Publish(const Trust& trust);
  void EndWatch(size_t place);
  std::vector<rpc::TypedStreamHandle<BundleWatcher>> Watchers() const;

  TrustSource& trust_;
  std::atomic<bool> judge_later_ = false;

  mutable Mutex mutex_;
  std::shared_ptr<const BundleSecrets> current_ ABSL_GUARDED_BY(mutex_);
  // Indexed by Watch::place_. The place of a watch that ended holds an empty handle and is listed in free_places_.
  std::vector<rpc::TypedStreamHandle<BundleWatcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> free_places_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_BUNDLE_PUBLISHER_H_
