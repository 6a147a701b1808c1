// The subscribers of this process's streams: who comes, what it holds, who leaves.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_REGISTRY_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_REGISTRY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/subscribers/evidence_source.h"
#include "ca/subscribers/instance_room.h"
#include "ca/subscribers/subscriber_ledger.h"
#include "ca/subscribers/subscriber_saver.h"
#include "ca/subscribers/subscriber_store.h"
#include "ca/subscribers/trust_proof.h"

namespace meshca {

// What those who serve secrets tell of their streams, as evidence: a ledger (SubscriberLedger has the rules) that is
// kept in the database (SubscriberSaver), with the clock that both are driven by. Who comes, goes, rejects or is
// evicted is saved at once; acknowledgements alone with that, or else by the next Tick. Thread-safe; no call blocks but
// those that say so.
class SubscriberRegistry final : public EvidenceSource {
 public:
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
    void Sent() { SentCertificate(absl::InfinitePast()); }
    // The same, and it is a certificate that ends then.
    void SentCertificate(absl::Time not_after);
    void Acknowledged(const Acknowledgement& acknowledgement);
    void Rejected(absl::string_view what);
    // `broken`: the connection ended, while the proxy still runs and holds what it had. Otherwise the proxy itself gave
    // the subscription up, and it counts no more, unless it was the last: then the instance has left, and is remembered
    // as it was.
    void Leave(bool broken);

   private:
    friend class SubscriberRegistry;
    SubscriberRegistry* registry_ = nullptr;
    StreamId stream_ = StreamId::kNone;
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
    std::string instance_;
  };

  // `store` and `clock` outlive the registry. `leaf_lifetime` is how long an instance without a certificate is
  // remembered.
  SubscriberRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration leaf_lifetime,
                     InstanceRoom::Limits limits = {});
  // Everybody has left before. Blocks on the database, as Shutdown.
  ~SubscriberRegistry() override = default;

  // What the last run left, all of it disconnected. Before the first Join. Blocks on the database.
  absl::Status Load() { return saver_.Load(); }

  // A stream of `info.instance` begins. Of `info`: instance, spiffe_id, node, kind and peer. `on_evicted` is called
  // once, on the thread that evicts and with no lock held, when the instance is evicted while the stream is a member.
  // ResourceExhausted: InstanceRoom's, for an instance that is not known yet, or was evicted.
  absl::StatusOr<Member> Join(const SubscriberRecord& info, EvictionNotice on_evicted = nullptr);
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
  // returns Ok. No rotation waits for one from now on, and whatever its streams still say is evidence of nothing: their
  // owners are told. When a stream of it begins it is back, and counts as one that has acknowledged nothing.
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
  void Shutdown() { saver_.Shutdown(); }

  SubscriberStats Stats() const;

 private:
  Moment Now() const { return {clock_.LikelyNow(), clock_.SinceBoot()}; }

  const JudgedClock& clock_;
  SubscriberSaver saver_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_REGISTRY_H_
