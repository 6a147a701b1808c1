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
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/acknowledgements.h"
#include "ca/authority/subscriber_store.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/rpc/stream.h"
#include "sds/instance_room.h"

namespace meshca::sds {

// A stream that ends when its instance is evicted.
class EvictableStream : public rpc::StreamHandler {
 public:
  // Loop thread. `why` is what the client is told.
  virtual void OnEvicted(const absl::Status& why) = 0;
};

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
// An instance that was sent nothing holds nothing: it is not saved, and forgotten when it leaves. One that fetches
// (FetchSecrets) has no streams and acknowledges nothing: it holds, of each identity and of the bundle, what it was
// sent last.
//
// An instance that left counts as what its streams held. When it is back, it counts as what its new streams
// acknowledge; but that it takes a bundle, or a key, is believed of the streams that broke for kComeBack more: a proxy
// opens one stream a secret, each again in its own time, and in between it must not pass for one that takes no key.
class SubscriberRegistry final : public Acknowledgements {
  struct Instance;

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
    // Something is on its way to the subscriber: from now on it may hold what is remembered of it.
    void Sent();
    // The same, and it is a certificate that ends then.
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

  // What an answer to FetchSecrets held.
  struct Delivery {
    struct Key {
      std::string spiffe_id;
      uint64_t generation = 0;
      std::string serial;
      std::string authority_id;
      std::string version_info;
      absl::Time not_after;
    };
    std::optional<uint64_t> bundle_sequence;  // nothing: it held no bundle
    std::string version_info;                 // of the bundle
    std::vector<Key> keys;
  };

  // One call of FetchSecrets while it is under way: its instance has its room from the beginning. Moves; any one thread
  // at a time.
  class Fetching {
   public:
    Fetching() = default;
    Fetching(Fetching&& other) noexcept { *this = std::move(other); }
    Fetching& operator=(Fetching&& other) noexcept;
    ~Fetching() { End(); }
    // The answer that is about to leave. Once, at most.
    void Delivered(const Delivery& delivery);

   private:
    friend class SubscriberRegistry;
    void End();
    SubscriberRegistry* registry_ = nullptr;
    Instance* instance_ = nullptr;
  };

  // `store` and `clock` outlive the registry. `leaf_lifetime` is how long an instance without a certificate is
  // remembered.
  SubscriberRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration leaf_lifetime,
                     InstanceRoom::Limits limits = {});
  ~SubscriberRegistry() override;

  // Longer than a proxy waits between two attempts to connect: Envoy 30 s.
  static constexpr absl::Duration kComeBack = absl::Minutes(1);

  // What the last run left, all of it disconnected. Before the first Join. Blocks on the database.
  absl::Status Load();

  // A stream of `info.instance` begins. Of `info`: instance, spiffe_id, node, kind and peer. `stream` names an
  // EvictableStream.
  // ResourceExhausted: InstanceRoom's, for an instance that is not known yet, or was evicted.
  absl::StatusOr<Member> Join(const SubscriberRecord& info, rpc::StreamHandle stream = {});
  // A call of FetchSecrets by `info.instance` begins. Errors as above.
  absl::StatusOr<Fetching> BeginFetch(const SubscriberRecord& info);

  // By SPIFFE ID, then instance.
  std::vector<SubscriberRecord> List() const override;
  std::optional<SubscriberRecord> Find(absl::string_view instance) const;
  bool Knows(absl::string_view instance) const;

  struct Evicted {
    std::vector<SubscriberRecord> records;  // as they are now; by SPIFFE ID, then instance
    uint64_t ended = 0;                     // of these: they were connected, and their streams are being ended
  };
  // Marks every instance that `chosen` picks as gone for good, but for those that are marked already; durable when it
  // returns Ok. No rotation waits for one from now on, and whatever its streams still say is evidence of nothing: they
  // are ended (Unavailable). When a stream of it begins it is back, and counts as one that has acknowledged nothing.
  // `chosen` is asked with a lock held: it must not call the registry. Blocks on the database.
  // Unavailable: not saved; those that were not count on, as ones that have acknowledged nothing.
  absl::StatusOr<Evicted> Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen);

  // What `instance` holds ends at `until`, in the infinite past if it holds nothing: its certificates that end later
  // were revoked. Once it has left, no rotation waits for it longer than that.
  void CertificatesEnd(absl::string_view instance, absl::Time until);

  // Saves the acknowledgements since the last one and again what could not be saved, and forgets instances that left
  // and whose certificate has expired: by a clock that is believed at that moment, so that no jump ends evidence.
  void Tick();

  // No more saves; returns when what is under way has ended, having asked for a last one. Everybody has left before.
  void Shutdown();

  RegistryStats Stats() const;

 private:
  struct HeldKey;

  // The instance of `info`, which is there or may come; counted, whether it was evicted or not.
  absl::StatusOr<Instance*> Admit(const SubscriberRecord& info) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Uncount(Instance& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the membership of all streams; who is to be told.
  std::vector<rpc::StreamHandle> DetachStreams(Instance& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // It may hold something from now on, so it is to be saved.
  void MayHold(Instance& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropEndedKeys(Instance& instance, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets one that holds nothing and takes nothing.
  void DropIfEmpty(Instance& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
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
  absl::Status AwaitEvicted(const std::vector<std::string>& instances, absl::Time evicted_at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeBack(const std::vector<std::string>& instances, absl::Time evicted_at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SubscriberStore& store_;
  const JudgedClock& clock_;
  const absl::Duration leaf_lifetime_;

  mutable Mutex mutex_;
  CondVar saved_;  // a save or a deletion ended
  absl::flat_hash_map<std::string, std::unique_ptr<Instance>> instances_ ABSL_GUARDED_BY(mutex_);
  InstanceRoom room_ ABSL_GUARDED_BY(mutex_);               // evicted ones take none
  std::vector<std::string> dirty_ ABSL_GUARDED_BY(mutex_);  // each once
  size_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;         // Instance::acknowledged
  uint64_t batch_ ABSL_GUARDED_BY(mutex_) = 0;              // number of the last one taken
  size_t forgetting_ ABSL_GUARDED_BY(mutex_) = 0;           // deletions under way
  bool saving_ ABSL_GUARDED_BY(mutex_) = false;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;  // the last save failed: only Tick tries again
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  RegistryStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SUBSCRIBER_REGISTRY_H_
