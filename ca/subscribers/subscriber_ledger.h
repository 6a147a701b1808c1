// Who holds which trust: every instance, and which of them are still to be saved.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_LEDGER_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
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
  uint64_t unsaved = 0;       // rows that wait for the store
};

// Every instance that is connected, or left while its certificate may still live; those that were evicted, until then.
// SubscriberInstance says what each holds. An instance that was sent nothing holds nothing: it is never to be saved,
// and is forgotten when it leaves.
//
// Whatever changes an instance makes its row one that is to be saved at once, but for acknowledgements: those wait for
// ChangeAcknowledged, unless the row is saved for another reason before. So ten thousand that answer one change of the
// bundle are written together, and none of them twice.
//
// A value that one owner drives: no lock, no clock, no store. What streams hold is settled when a record is read, so
// reading is no const operation.
class SubscriberLedger {
 public:
  // `leaf_lifetime` is how long an instance without a certificate is remembered.
  explicit SubscriberLedger(absl::Duration leaf_lifetime, InstanceRoom::Limits limits = {});
  ~SubscriberLedger();

  // What the last run left, all of it disconnected. Before anything else.
  void Restore(std::vector<SubscriberRecord> rows);

  // A stream of `info.instance` begins, which is back if it was evicted. Of `info`: instance, spiffe_id, node, kind and
  // peer. ResourceExhausted: InstanceRoom's, for an instance that is not known yet, or was evicted.
  absl::StatusOr<StreamId> Join(const SubscriberRecord& info, EvictionNotice on_evicted, const Moment& now);
  // What becomes of a stream. One that left, or whose instance was evicted, changes nothing any more.
  void Carry(StreamId stream, bool bundle, bool key);
  void Send(StreamId stream, absl::Time certificate_ends);  // InfinitePast: no certificate
  void Acknowledge(StreamId stream, const Acknowledgement& acknowledgement, absl::Time now);
  void Reject(StreamId stream, absl::string_view what, absl::Time now);
  void Leave(StreamId stream, bool broken, const Moment& now);

  // A call that fetches begins: its instance has its room from now on, and is not forgotten before EndFetch. Errors as
  // Join's. One that was evicted is back when something is delivered to it.
  absl::Status BeginFetch(const SubscriberRecord& info, const Moment& now);
  void Deliver(absl::string_view instance, const Delivery& delivery, absl::Time now);
  void EndFetch(absl::string_view instance);

  struct Evictions {
    std::vector<std::string> instances;
    std::vector<EvictionNotice> notices;  // to be called when the evictions are durable, or cannot become so
    uint64_t were_connected = 0;
  };
  // Evicts every instance that `chosen` picks, but for those that are evicted already. When a stream of it begins it is
  // back, and counts as one that has acknowledged nothing.
  Evictions Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now);
  // Of `instances`, those that are still evicted since `evicted_at` and whose rows are still to be saved are evicted no
  // more; how many. They count as ones that have acknowledged nothing.
  size_t TakeBackEvictions(const std::vector<std::string>& instances, absl::Time evicted_at);

  // SubscriberInstance::EndCertificates.
  void EndCertificates(absl::string_view instance, absl::Time until);
  // Forgets instances that left and whose certificates have ended; which. `now` must be believed: no jump of a clock
  // may end evidence.
  std::vector<std::string> ForgetEnded(absl::Time now);
  void Tidy(absl::Duration since_boot) { room_.Tidy(since_boot); }

  // Makes the row of each of these, if it is still known, one that is to be saved.
  void Change(const std::vector<std::string>& instances);
  // The same, for whoever acknowledged something since its row was taken last. Rows are taken in the order of their
  // keys from then on.
  void ChangeAcknowledged();
  bool HasChanges() const { return !changed_.empty(); }
  // Takes the rows that have waited longest, at most `max`. They are no longer to be saved.
  std::vector<SubscriberRecord> TakeChanges(size_t max, absl::Duration since_boot);
  // Where the rows of those `instances` are that are still evicted since `evicted_at`.
  struct Whereabouts {
    bool waiting = false;     // one of them is to be saved
    bool taken_last = false;  // one of them was among those that TakeChanges gave last
  };
  Whereabouts RowsOf(const std::vector<std::string>& instances, absl::Time evicted_at) const;

  // By SPIFFE ID, then instance.
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

  Entry* FindEntry(absl::string_view instance) const;
  StreamPlace FindStream(StreamId stream) const;
  // The entry of `info`, which is there or may come; counted, whether it was evicted or not.
  absl::StatusOr<Entry*> Admit(const SubscriberRecord& info, const Moment& now);
  // Its row is to be saved, unless it holds nothing.
  void Change(Entry& entry);
  void SetAcknowledged(Entry& entry, bool acknowledged);
  // Forgets one that holds nothing and takes nothing.
  void DropIfEmpty(Entry& entry);

  const absl::Duration leaf_lifetime_;
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries_;
  absl::flat_hash_map<StreamId, StreamPlace> streams_;
  uint64_t last_stream_ = 0;          // the newest StreamId
  InstanceRoom room_;                 // evicted ones take none
  std::vector<std::string> changed_;  // rows that are to be saved, each once; some may be forgotten since
  size_t acknowledged_ = 0;           // entries with Entry::acknowledged
  uint64_t takes_ = 0;                // calls of TakeChanges
  uint64_t acks_ = 0;                 // since start
  uint64_t nacks_ = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_LEDGER_H_
