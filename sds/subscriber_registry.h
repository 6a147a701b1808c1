// Who acknowledged what: the evidence that root rotation stands on.
#ifndef MESHCA_SDS_SUBSCRIBER_REGISTRY_H_
#define MESHCA_SDS_SUBSCRIBER_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/acknowledgements.h"
#include "ca/authority/subscriber_store.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"

namespace meshca::sds {

struct RegistryStats {
  uint64_t known = 0;
  uint64_t connected = 0;
  uint64_t streams = 0;
  uint64_t acknowledged = 0;  // ACKs since start
  uint64_t rejected = 0;      // NACKs since start
  uint64_t unsaved = 0;       // rows that wait for the store
};

// Every instance that is connected, or left while its certificate may still live. An instance counts as its slowest
// stream: one that has not acknowledged counts as nothing. Who comes, goes, rejects or is evicted is saved at once, in
// batches: whatever changed while the last batch was being written. Acknowledgements alone are saved with that, or else
// by the next Tick, in the order of the table: ten thousand that answer one change of the bundle are rows beside one
// another then, and no row is written twice. What a crash loses of them counts against its instance until its streams
// are back: it makes nobody appear to hold what it does not. Thread-safe; no call blocks but those that say so.
//
// An instance that left counts as what its streams held. When it is back, it counts as what its new streams
// acknowledge; but that it takes a bundle, or a key, is believed of the streams that broke for kComeBack more: a proxy
// opens one stream a secret, each again in its own time, and in between it must not pass for one that takes no key.
class SubscriberRegistry final : public Acknowledgements {
 public:
  // What a stream's acknowledgement proves.
  struct Evidence {
    uint64_t bundle_sequence = 0;  // 0: the stream carries no bundle, or none acknowledged yet
    uint64_t generation = 0;       // of `serial`, to order two of one instance
    std::string serial;
    std::string authority_id;  // that signed `serial`
    std::string version_info;
  };

  // One stream's membership; ends with Leave or its life. Any one thread at a time.
  class Member {
   public:
    Member() = default;
    Member(Member&& other) noexcept { *this = std::move(other); }
    Member& operator=(Member&& other) noexcept;
    ~Member() { Leave(/*broken=*/false); }
    explicit operator bool() const { return registry_ != nullptr; }

    // What the stream subscribes to decides whether it counts for bundles and for keys.
    void Carries(bool bundle, bool key);
    // A certificate that ends then is on its way to the subscriber.
    void SentCertificate(absl::Time not_after);
    // `evidence` replaces the parts it has; parts left empty stay as they were.
    void Acknowledged(const Evidence& evidence);
    void Rejected(absl::string_view what);
    // `broken`: the connection ended, while the proxy still runs and holds what it had. Otherwise the proxy itself gave
    // the subscription up, and it counts no more, unless it was the last: then the instance has left, and is remembered
    // as it was.
    void Leave(bool broken);

   private:
    friend class SubscriberRegistry;
    struct State;
    SubscriberRegistry* registry_ = nullptr;
    std::shared_ptr<State> state_;
  };

  // `store` and `clock` outlive the registry. `leaf_lifetime` is how long an instance without a certificate is
  // remembered.
  SubscriberRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration leaf_lifetime);
  ~SubscriberRegistry() override;

  // Longer than a proxy waits between two attempts to connect: Envoy 30 s.
  static constexpr absl::Duration kComeBack = absl::Minutes(1);

  // What the last run left, all of it disconnected. Before the first Join. Blocks on the database.
  absl::Status Load();

  // Instances of one SPIFFE ID that are connected or remembered, evicted ones not counted. What it bounds is a caller
  // that names itself anew (a node id) with each stream: each of its names is remembered until its certificate ends.
  static constexpr size_t kInstancesPerIdMax = 16'384;

  // A stream of `info.instance` begins. Of `info`: instance, spiffe_id, node, kind and peer.
  // ResourceExhausted (TOO_MANY_INSTANCES): an instance that is not known yet, of a SPIFFE ID that has
  // kInstancesPerIdMax; says what to do.
  absl::StatusOr<Member> Join(const SubscriberRecord& info);

  // By SPIFFE ID, then instance.
  std::vector<SubscriberRecord> List() const override;
  std::optional<SubscriberRecord> Find(absl::string_view instance) const;
  bool Knows(absl::string_view instance) const;

  // Marks `instance` as gone for good, until a stream of it begins; durable when it returns Ok with the record as it
  // is then. Blocks on the database.
  // NotFound. FailedPrecondition: it is connected. Unavailable: not saved, and not evicted.
  absl::StatusOr<SubscriberRecord> Evict(absl::string_view instance);

  // Saves the acknowledgements since the last one and again what could not be saved, and forgets instances that left
  // and whose certificate has expired: by a clock that is believed at that moment, so that no jump ends evidence.
  void Tick();

  // No more saves; returns when what is under way has ended, having asked for a last one. Everybody has left before.
  void Shutdown();

  RegistryStats Stats() const;

 private:
  struct Instance;
  struct HeldKey;

  // Counts `instance` among those of `id`, and no more among those of another; nothing: among none.
  void CountAs(Instance& instance, const std::optional<std::string>& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckRoom(const SubscriberRecord& info) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Touch(Instance& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whoever acknowledged something since it was last saved is to be saved now.
  void TouchAcknowledged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetAcknowledged(Instance& instance, bool acknowledged) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropDoubtful(Instance& instance) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(Instance& instance, const Member::State& stream) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Settle(Instance& instance) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  SubscriberRecord RecordOf(const Instance& instance) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The next batch, when there is something to save and no save under way.
  std::vector<SubscriberRecord> TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Save(std::vector<SubscriberRecord> batch);
  void Saved(const std::vector<std::string>& instances, const absl::Status& status);
  void Forget(std::vector<std::string> instances);
  void Forgotten(const std::vector<std::string>& instances, const absl::Status& status);
  absl::StatusOr<SubscriberRecord> AwaitEvicted(const std::string& instance, absl::Time evicted_at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SubscriberStore& store_;
  const JudgedClock& clock_;
  const absl::Duration leaf_lifetime_;

  mutable Mutex mutex_;
  CondVar saved_;  // a save or a deletion ended
  absl::flat_hash_map<std::string, std::unique_ptr<Instance>> instances_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, size_t> instances_of_ ABSL_GUARDED_BY(mutex_);  // by SPIFFE ID; evicted ones not
  std::vector<std::string> dirty_ ABSL_GUARDED_BY(mutex_);                         // each once
  size_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;                                // Instance::acknowledged
  uint64_t batch_ ABSL_GUARDED_BY(mutex_) = 0;                                     // number of the last one taken
  size_t forgetting_ ABSL_GUARDED_BY(mutex_) = 0;                                  // deletions under way
  bool saving_ ABSL_GUARDED_BY(mutex_) = false;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;  // the last save failed: only Tick tries again
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  RegistryStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SUBSCRIBER_REGISTRY_H_
