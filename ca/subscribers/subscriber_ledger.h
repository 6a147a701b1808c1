// All subscriber instances with the trust that each holds, and the list of those whose rows have to be saved.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_LEDGER_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/process_name.h"
#include "ca/subscribers/instance_room.h"
#include "ca/subscribers/subscriber_instance.h"
#include "ca/subscribers/subscriber_record.h"
#include "ca/subscribers/trust_proof.h"

namespace meshca {

struct SubscriberStats {
  uint64_t known = 0;
  uint64_t connected = 0;
  uint64_t streams = 0;
  uint64_t acknowledged = 0;  // ACKs since start
  uint64_t rejected = 0;      // NACKs since start
  uint64_t delivered = 0;     // since start: what counted as delivered to streams that cannot acknowledge
  uint64_t unsaved = 0;       // rows that wait for the store
};

// Holds every instance that is connected, or that left while its certificate may still be alive, evicted ones included.
// SubscriberInstance computes what each holds. An instance that was sent nothing is not saved, and is forgotten when it
// leaves. One whose process is known is forgotten when that has ended, because nothing that it was sent is left then.
//
// A change of an instance puts its row on the list of rows to save (TakeChanges), except acknowledgements and
// deliveries: they are put there by ChangeAcknowledged, unless the row is saved for another reason before. So ten
// thousand acknowledgements of one bundle are written together, and each row only once.
//
// A value with one owner: no lock, no clock, no store. Reading is not const, because what an instance holds is computed
// when its record is read.
class SubscriberLedger {
 public:
  // An instance that left and never had a certificate is remembered for `leaf_lifetime`. What was written to a stream
  // that cannot acknowledge counts as delivered when it is still open `delivered_after` later.
  explicit SubscriberLedger(absl::Duration leaf_lifetime, InstanceRoom::Limits limits = {},
                            absl::Duration delivered_after = absl::Minutes(1));
  ~SubscriberLedger();

  // Takes in the rows of the last run, as instances that are not connected. Called before anything else.
  void Restore(std::vector<SubscriberRecord> rows);

  // A stream of `info.instance` begins; if the instance was evicted it counts again. Of `info` the fields instance,
  // spiffe_id, node, kind, peer and process are used. ResourceExhausted: InstanceRoom::Admit refused an instance that
  // is new or was evicted.
  absl::StatusOr<StreamId> Join(const SubscriberRecord& info, EvictionNotice on_evicted, const Moment& now,
                                DeliveryCheck check_delivery = nullptr);
  // News of a stream. They are ignored for a stream that left, or whose instance was evicted.
  void Carry(StreamId stream, const Carried& what);
  void Carry(StreamId stream, bool bundle, bool key) { Carry(stream, Carried{bundle, key, false}); }
  void Send(StreamId stream, absl::Time certificate_ends);  // InfinitePast: no certificate
  void Acknowledge(StreamId stream, const Acknowledgement& acknowledgement, absl::Time now);
  void Reject(StreamId stream, absl::string_view what, absl::Time now);
  void Leave(StreamId stream, bool broken, const Moment& now);

  // Something with this content was written to a stream that cannot acknowledge.
  void Write(StreamId stream, Acknowledgement holds, absl::Duration since_boot);
  // From now on for what is written; what was written keeps its time.
  void SetDeliveredAfter(absl::Duration delivered_after) { delivered_after_ = delivered_after; }
  // What was written to the stream and has not counted yet: the oldest counts as delivered now, or all of it.
  void ConfirmDelivery(StreamId stream, absl::Time now);
  void ConfirmAllDeliveries(StreamId stream, absl::Time now);
  struct Due {
    std::vector<DeliveryCheck> checks;               // to be called, with no lock held
    absl::Duration next = absl::InfiniteDuration();  // since boot: when something is due again
  };
  // Of each stream whose oldest written thing is due: counts it as delivered, or hands out the stream's check, once.
  Due TakeDue(const Moment& now);

  // A call of FetchSecrets begins: its instance counts in the InstanceRoom from now on, and is not forgotten before
  // EndFetch. Errors: Join's. An evicted instance counts again once something is delivered to it.
  absl::Status BeginFetch(const SubscriberRecord& info, const Moment& now);
  void Deliver(absl::string_view instance, const Delivery& delivery, absl::Time now);
  void EndFetch(absl::string_view instance, absl::Duration since_boot);

  // The process has ended: its instances that have no stream and no fetch open are forgotten at once, and hold up
  // nothing any more. Where a stream is still open, its end is on its way; if that takes longer than kLastWords,
  // somebody else has the connection, and its holder is remembered like any other when it leaves. One that had ended
  // before it joined may be what it wrote last, read after its end; whoever joins in its name later than kLastWords
  // after its end was first told has its connection, and counts like any other from then on.
  void EndProcess(const ProcessName& process, absl::Duration since_boot);
  static constexpr absl::Duration kLastWords = absl::Seconds(5);
  // A restored instance is `process`.
  void Recognise(absl::string_view instance, const ProcessName& process);
  // Whether an instance is known that ends with `process`.
  bool HasProcess(const ProcessName& process) const { return processes_.contains(process); }
  // The instances that were forgotten because their processes ended, since the last call: their rows are to be deleted.
  std::vector<std::string> TakeForgotten() { return std::exchange(forgotten_, {}); }

  struct Evictions {
    std::vector<std::string> instances;
    std::vector<EvictionNotice> notices;  // to be called once the evictions are durable or have failed
    uint64_t were_connected = 0;
  };
  // Evicts every instance for which `chosen` is true and that is not evicted yet. When a stream of it begins it counts
  // again, as one that has acknowledged nothing.
  Evictions Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now);
  // Undoes the eviction of those `instances` that are still evicted since `evicted_at` and whose rows were not saved;
  // returns how many. They count as ones that have acknowledged nothing.
  size_t TakeBackEvictions(const std::vector<std::string>& instances, absl::Time evicted_at);

  // See SubscriberInstance::EndCertificates.
  void EndCertificates(absl::string_view instance, absl::Time until);
  // Forgets instances that left and whose certificates have ended, and returns them. `now` must be a believed time
  // (JudgedClock::BelievedNow), so that a jump of the clock ends no evidence.
  std::vector<std::string> ForgetEnded(absl::Time now);
  void Tidy(absl::Duration since_boot) { room_.Tidy(since_boot); }

  // Puts the rows of these instances, those that are still known, on the list of rows to save.
  void Change(const std::vector<std::string>& instances);
  // Does the same for every instance that acknowledged something since its row was taken last, and sorts the list by
  // instance.
  void ChangeAcknowledged();
  bool HasChanges() const { return !changed_.empty(); }
  // Takes at most `max` rows from the front of the list of rows to save.
  std::vector<SubscriberRecord> TakeChanges(size_t max, absl::Duration since_boot);
  // Empties the list of rows to save, and computes none of them.
  void DropChanges();
  // About the rows of those `instances` that are still evicted since `evicted_at`.
  struct Whereabouts {
    bool waiting = false;     // at least one is on the list of rows to save
    bool taken_last = false;  // at least one was in the last result of TakeChanges
  };
  Whereabouts RowsOf(const std::vector<std::string>& instances, absl::Time evicted_at) const;

  // All records, sorted by SPIFFE ID, then instance.
  std::vector<SubscriberRecord> List(absl::Duration since_boot);
  std::optional<SubscriberRecord> Find(absl::string_view instance, absl::Duration since_boot);
  bool Knows(absl::string_view instance) const { return entries_.contains(instance); }
  SubscriberStats Stats() const;

 private:
  struct Entry;
  struct StreamPlace {
    Entry* entry = nullptr;
    SubscriberInstance::Stream* stream = nullptr;
  };

  Entry& Add(SubscriberInstance instance);  // one that is not known
  Entry* FindEntry(absl::string_view instance) const;
  StreamPlace FindStream(StreamId stream) const;
  // Finds the entry of `info`, or makes it if InstanceRoom admits it, and counts it in the room.
  absl::StatusOr<Entry*> Admit(const SubscriberRecord& info, const Moment& now);
  // Puts its row on the list of rows to save, unless nothing was ever sent to it.
  void Change(Entry& entry);
  void SetAcknowledged(Entry& entry, bool acknowledged);
  void CountDelivered(const StreamPlace& place, absl::Time now);
  void SetProcess(Entry& entry, const ProcessName& process);
  // Whether what comes in the name of `process` now cannot be its last words any more.
  bool IsOutlived(const ProcessName& process, absl::Duration since_boot) const;
  // When the end of `process` was told first, since boot.
  absl::Duration RememberEnd(const ProcessName& process, absl::Duration since_boot);
  // `entry` is gone.
  void Forget(Entry& entry);
  // Forgets the entry if it has neither a stream nor a fetch, and nothing was sent to it or its process has ended.
  void ForgetIfDone(Entry& entry, absl::Duration since_boot);

  const absl::Duration leaf_lifetime_;
  absl::Duration delivered_after_;
  absl::flat_hash_map<absl::string_view, std::unique_ptr<Entry>> entries_;  // by record().instance, theirs
  absl::flat_hash_map<StreamId, StreamPlace> streams_;
  absl::flat_hash_map<ProcessName, std::vector<Entry*>> processes_;  // the instances that end with each
  // When processes ended, and in which order that was told: the newest kEndedMax.
  static constexpr size_t kEndedMax = 4096;
  absl::flat_hash_map<ProcessName, absl::Duration> ended_;
  std::deque<ProcessName> ended_in_order_;
  std::vector<std::string> forgotten_;  // see TakeForgotten
  uint64_t last_stream_ = 0;            // the newest StreamId
  InstanceRoom room_;                   // evicted instances are not counted in it
  std::vector<std::string> changed_;    // the rows to save, each once; some instances may be forgotten by now
  size_t acknowledged_ = 0;             // entries with Entry::acknowledged
  uint64_t takes_ = 0;                  // calls of TakeChanges
  uint64_t acks_ = 0;                   // since start
  uint64_t nacks_ = 0;
  uint64_t deliveries_ = 0;
  // When the oldest written thing of each stream is due (since boot). Streams whose check was handed out are not in it.
  absl::btree_set<std::pair<absl::Duration, StreamId>> due_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_LEDGER_H_
