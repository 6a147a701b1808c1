// The subscribers that this process serves: services report who comes, what was acknowledged and who leaves.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_REGISTRY_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/base/process_watch.h"
#include "ca/subscribers/evidence_source.h"
#include "ca/subscribers/instance_room.h"
#include "ca/subscribers/subscriber_ledger.h"
#include "ca/subscribers/subscriber_saver.h"
#include "ca/subscribers/subscriber_store.h"
#include "ca/subscribers/trust_proof.h"

namespace meshca {

// Turns what services report of their streams into evidence for a rotation. The rules are SubscriberLedger's;
// SubscriberSaver keeps the result in the database; this class adds the clock. When an instance comes, leaves, rejects
// or is evicted, its row is saved at once; when it only acknowledges, at the next Tick at the latest. An instance that
// is a process (SubscriberRecord::process) is forgotten when a ProcessWatch sees that end. Thread-safe; calls block
// only where their comments say so.
class SubscriberRegistry final : public EvidenceSource {
 public:
  // The handle through which one stream reports. Ends with Leave or destruction. Used by one thread at a time.
  class Member {
   public:
    Member() = default;
    Member(Member&& other) noexcept { *this = std::move(other); }
    Member& operator=(Member&& other) noexcept;
    ~Member() { Leave(/*broken=*/false); }
    explicit operator bool() const { return registry_ != nullptr; }

    // What the stream is subscribed to: only for that a rotation waits until it has got a new one.
    void Carries(const Carried& what);
    void Carries(bool bundle, bool key) { Carries(Carried{bundle, key, false}); }
    // Something was sent, so the subscriber may hold something from now on, and is remembered when it leaves.
    void Sent() { SentCertificate(absl::InfinitePast()); }
    // A certificate was sent, which ends at `not_after`.
    void SentCertificate(absl::Time not_after);
    void Acknowledged(const Acknowledgement& acknowledgement);
    void Rejected(absl::string_view what);  // a NACK; `what` is its text
    // For a protocol without acknowledgements: something that proves `holds` was written to the stream. It counts as
    // delivered when the stream is still open `delivered_after` later and then says Delivered.
    void Wrote(Acknowledgement holds);
    // The answer to Join's `check_delivery`: what was due has left this process.
    void Delivered();
    // The client ended the stream by itself, and all that was written to it had left this process: it holds that, as
    // a caller of FetchSecrets does. Called before Leave.
    void DeliveredAll();
    // `broken`: the connection broke, and the proxy probably still runs with what it had. Otherwise the proxy gave the
    // subscription up, and what the stream held counts no more, unless it was the last stream: then the instance has
    // left and is remembered with it.
    void Leave(bool broken);

   private:
    friend class SubscriberRegistry;
    SubscriberRegistry* registry_ = nullptr;
    StreamId stream_ = StreamId::kNone;
  };

  // The handle of one call of FetchSecrets, from its beginning to its answer. Can be moved; used by one thread at a
  // time.
  class Fetching {
   public:
    Fetching() = default;
    Fetching(Fetching&& other) noexcept { *this = std::move(other); }
    Fetching& operator=(Fetching&& other) noexcept;
    ~Fetching() { End(); }
    // `delivery` is what the answer holds that is about to be sent. Called at most once.
    void Delivered(const Delivery& delivery);

   private:
    friend class SubscriberRegistry;
    void End();
    SubscriberRegistry* registry_ = nullptr;
    std::string instance_;
  };

  // `store` and `clock` outlive the registry, and so does `processes` if it is not null; the registry starts it and
  // shuts it down. An instance that left and never had a certificate is remembered for `leaf_lifetime`. What was
  // written to a stream that cannot acknowledge counts as delivered `delivered_after` later.
  SubscriberRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration leaf_lifetime,
                     InstanceRoom::Limits limits = {}, absl::Duration delivered_after = absl::Minutes(1),
                     ProcessWatch* processes = nullptr);
  // All Members and Fetchings have ended before. Blocks on the database, as Shutdown does.
  ~SubscriberRegistry() override { Shutdown(); }

  // The process that a row of the last run is, if it still runs; not known in any other case.
  using ProcessOf = std::function<ProcessName(const SubscriberRecord&)>;
  // Reads the rows of the last run, as instances that are not connected. Those for which `process_of` knows a process
  // end with that. Called before the first Join. Blocks on the
  // database.
  absl::Status Load(const ProcessOf& process_of = nullptr);

  // A stream of `info.instance` begins. Of `info` the fields instance, spiffe_id, node, kind and peer are used.
  // `on_evicted` is called once if the instance is evicted while the Member lives, on the thread that calls Evict and
  // with no lock held. `check_delivery` is called on the thread of CheckDeliveries, with no lock held, each time that
  // something written to the stream is due; null: it then counts as delivered unasked.
  // ResourceExhausted: InstanceRoom::Admit refused an instance that is new or was evicted.
  absl::StatusOr<Member> Join(const SubscriberRecord& info, EvictionNotice on_evicted = nullptr,
                              DeliveryCheck check_delivery = nullptr);
  // A call of FetchSecrets by `info.instance` begins. Errors as above.
  absl::StatusOr<Fetching> BeginFetch(const SubscriberRecord& info);

  // Sorted by SPIFFE ID, then instance.
  std::vector<SubscriberRecord> List() const override;
  std::vector<std::string> SharedKeyInstances() const override { return {std::string(kSharedKeyInstance)}; }
  std::optional<SubscriberRecord> Find(absl::string_view instance) const;
  bool Knows(absl::string_view instance) const;

  struct Evicted {
    std::vector<SubscriberRecord> records;  // after the eviction; sorted by SPIFFE ID, then instance
    uint64_t ended = 0;                     // how many of them were connected; their streams are being ended
  };
  // Marks every instance for which `chosen` is true as gone for good, unless it is marked already; durable when Ok.
  // From now on no rotation waits for these instances, acknowledgements of their streams are ignored, and their
  // `on_evicted` is called. When a new stream of one begins it counts again, as one that has acknowledged nothing.
  // `chosen` runs with a lock held: it must not call the registry. Blocks on the database.
  // Unavailable: not all were saved; those that were not are not evicted, but what they acknowledged is forgotten.
  absl::StatusOr<Evicted> Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen);

  // No certificate of `instance` ends later than `until` (InfinitePast: it has none left), because later ones were
  // revoked. Once it has left, no rotation waits for it longer than that.
  void CertificatesEnd(absl::string_view instance, absl::Time until);

  // Saves what was acknowledged since the last Tick and what could not be saved before. Forgets instances that left and
  // whose certificates have ended, if the clock is believed now, so that a jump of the clock ends no evidence.
  void Tick();

  // For what is written from now on. An agent is told by its CA.
  void SetDeliveredAfter(absl::Duration delivered_after);

  // Counts as delivered what is due, or asks its stream. Returns after how long something is due again; the one timer
  // for all streams. One caller at a time.
  absl::Duration CheckDeliveries();

  // Saves for a last time and returns when that has ended. All Members and Fetchings have ended before. Blocks on the
  // database. Idempotent.
  void Shutdown();

  SubscriberStats Stats() const;

 private:
  Moment Now() const { return {clock_.LikelyNow(), clock_.SinceBoot()}; }
  // Calls `change` and deletes the rows of instances that it forgot, because their processes have ended.
  void ChangeAndDelete(absl::FunctionRef<void(SubscriberLedger&)> change);
  // Watches a process that the ledger knows already: one that ended on its way to the ledger is told by nobody else.
  void WatchProcess(const ProcessName& process);

  const JudgedClock& clock_;
  ProcessWatch* const processes_;  // null: nobody sees processes end
  SubscriberSaver saver_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_REGISTRY_H_
