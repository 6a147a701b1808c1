// Computes what one instance holds: from its streams, from streams whose connection broke, and from what it was sent.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_INSTANCE_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_INSTANCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/subscribers/subscriber_record.h"
#include "ca/subscribers/trust_proof.h"

namespace meshca {

// When something happens: `time` (JudgedClock::LikelyNow) is stored; `since_boot` is for measuring durations.
struct Moment {
  absl::Time time;
  absl::Duration since_boot;
};

// Names a stream of an instance; unique within the process.
enum class StreamId : uint64_t { kNone = 0 };

// To be called when the instance of a stream is evicted. SubscriberLedger only hands it back; SubscriberRegistry calls
// it. May be null.
using EvictionNotice = absl::AnyInvocable<void() &&>;

// To be called when the oldest thing written to a stream is due to count as delivered: asks the stream whether it has
// really left this process, which answers by SubscriberRegistry::Member::Delivered. May be null: it has.
using DeliveryCheck = std::function<void()>;

// What a stream carries, and so what a rotation waits for it to get.
struct Carried {
  bool bundle = false;    // X.509 roots
  bool key = false;       // an X.509-SVID
  bool jwt_keys = false;  // the keys of JWT-SVIDs
  friend bool operator==(const Carried&, const Carried&) = default;
  Carried& operator|=(const Carried& other) {
    bundle |= other.bundle;
    key |= other.key;
    jwt_keys |= other.jwt_keys;
    return *this;
  }
};

// An instance with streams holds what its slowest stream acknowledged, or what counts as delivered to it where there
// are no acknowledgements (CannotAcknowledge); a stream that acknowledged nothing holds nothing. An instance that left
// is remembered with what its streams held. When it comes back it holds what its new streams acknowledge. Whether it
// takes bundles and keys at all is also told by its broken streams, for kComeBack after it is back: a proxy opens one
// stream for each secret, each reconnects in its own time, and meanwhile the instance must not look like one that takes
// no key.
//
// An instance whose kind HoldsWhatItWasSent has no streams. It holds the last bundle that it was sent and, for each
// identity, the last key; the oldest of these keys counts.
//
// A value with one owner: no lock, no clock.
class SubscriberInstance {
 public:
  // Longer than a proxy waits between two attempts to connect: Envoy 30 s.
  static constexpr absl::Duration kComeBack = absl::Minutes(1);

  // What is known of one stream.
  struct Stream {
    StreamId id = StreamId::kNone;
    size_t index = 0;  // in streams_
    EvictionNotice on_evicted;
    DeliveryCheck check_delivery;
    Carried takes;
    TrustVersion trust_version = 0;
    struct Key {
      uint64_t generation = 0;
      std::string serial;
      std::string authority_id;
      std::string version_info;
    };
    // The key that it acknowledged last; null: none yet. Many streams carry bundles alone.
    std::unique_ptr<Key> key;
    std::string version_info;
    std::string rejected;  // the text of its last answer, if that was a NACK; else ""
    // What was written to it and does not count as delivered yet: at most two, the older first. The newer one is
    // replaced by what is written after it, the older one never, so that a stream that is written to all the time comes
    // to hold something all the same.
    struct Written {
      Acknowledgement holds;
      absl::Duration due;  // since boot
    };
    std::vector<Written> written;

    bool TakesTrust() const { return takes.bundle || takes.jwt_keys; }
    uint64_t Generation() const { return key == nullptr ? 0 : key->generation; }
  };

  // An instance that is seen for the first time.
  SubscriberInstance(std::string instance, absl::Time now);
  // An instance from the database. It is not connected.
  explicit SubscriberInstance(SubscriberRecord row);

  // Takes over who it says it is this time: spiffe_id (unless empty), node, kind and peer of `info`.
  void Introduce(const SubscriberRecord& info);

  Stream& Join(StreamId id, EvictionNotice on_evicted, DeliveryCheck check_delivery, const Moment& now);
  void Acknowledge(Stream& stream, const Acknowledgement& acknowledgement, absl::Time now);
  void Reject(Stream& stream, absl::string_view what, absl::Time now);
  // `holds` was written to `stream`, and counts as delivered at `due`.
  void Write(Stream& stream, Acknowledgement holds, absl::Duration due);
  // What was written to `stream` first counts as delivered now. There is such a thing.
  void CountDelivered(Stream& stream, absl::Time now);
  // `stream` ends and must not be used any more. `broken`: its connection broke, and the proxy probably still runs with
  // what it had. Otherwise the proxy gave the subscription up, and what the stream held counts no more, unless it was
  // the last stream: then the instance has left and is remembered with it.
  void Leave(Stream& stream, bool broken, const Moment& now);
  void Deliver(const Delivery& delivery, absl::Time now);

  // Something was sent to it, so from now on it may hold something.
  void MayHold() { may_hold_ = true; }
  // A certificate that ends at `not_after` was sent to it. Whether that is later than all before.
  bool Certify(absl::Time not_after);
  // None of its certificates ends later than `until`, because later ones were revoked. False: that was known already.
  bool EndCertificates(absl::Time until);
  // Forgets the keys it was sent whose certificates have ended, if it has several. False: nothing changed.
  bool DropEndedKeys(absl::Time now);

  // The operator says that it is gone for good: what it acknowledged is forgotten. Returns its streams, whose further
  // acknowledgements count for nothing.
  std::vector<std::unique_ptr<Stream>> Evict(absl::Time now);
  // The eviction did not become durable: it counts again.
  void TakeBackEviction() { record_.evicted_at = absl::InfiniteFuture(); }

  // Computes what it holds, from its streams. Done here and not at each acknowledgement, because with ten thousand
  // streams of one instance the cost would be quadratic.
  const SubscriberRecord& Settle(absl::Duration since_boot);
  // The result of the last Settle. Who it is, whether it is evicted and when its certificate ends are always current.
  const SubscriberRecord& record() const { return record_; }
  bool may_hold() const { return may_hold_; }
  bool HasStreams() const { return !streams_.empty(); }

 private:
  void Hold(Stream& stream, const Acknowledgement& what, absl::Time now);
  void Remember(const Stream& stream, absl::Duration since_boot);
  void SettleTaking(absl::Duration since_boot);
  void SettleKeysSent();

  SubscriberRecord record_;
  bool may_hold_ = false;  // something was sent to it once
  std::vector<std::unique_ptr<Stream>> streams_;
  // The keys that it was sent last, by SPIFFE ID (kinds that HoldsWhatItWasSent). The database row holds only the
  // oldest of them. If the row's version_info is "", there may be others, and the identity of this one is not known:
  // after a restart it stands here under "" until its certificate ends.
  std::map<std::string, Delivery::Key> sent_;
  // The least that its broken streams held, until a stream is back: the proxy still uses it. Null: none has broken.
  struct Departed {
    std::optional<TrustVersion> trust;
    std::optional<Stream::Key> key;
  };
  std::unique_ptr<Departed> departed_;
  // What its broken streams, or those of the last run, carried. It counts until carried_until_ (since boot).
  Carried carried_;
  absl::Duration carried_until_ = absl::InfiniteDuration();
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_INSTANCE_H_
