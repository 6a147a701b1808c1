// What one instance holds, worked out from its streams, from those that broke, and from what it was sent.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_INSTANCE_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_INSTANCE_H_

#include <cstddef>
#include <cstdint>
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

// When something happens: the likely time, which is remembered, and the time since boot, by which waiting is measured.
struct Moment {
  absl::Time time;
  absl::Duration since_boot;
};

// Names a stream of an instance. Never given twice.
enum class StreamId : uint64_t { kNone = 0 };

// What is to be called when the instance of a stream is evicted. Whoever holds the ledger calls it; the ledger itself
// only hands it back. May be null.
using EvictionNotice = absl::AnyInvocable<void() &&>;

// An instance that keeps streams holds what its slowest stream acknowledged; one that has acknowledged nothing counts
// as nothing. It may have left; then it is remembered as what its streams held. Coming back, it counts as what its new
// streams acknowledge. But that it takes a bundle, or a key, is believed for kComeBack more of what the streams that
// broke had carried (it is doubtful for that long): a proxy opens one stream a secret, each again in its own time, and
// in between it must not pass for one that takes no key.
//
// An instance of a kind that HoldsWhatItWasSent has no streams. It holds the last bundle that it was sent, and of each
// identity the last key; the oldest of these keys counts.
//
// A value that one owner drives: no lock, no clock.
class SubscriberInstance {
 public:
  // Longer than a proxy waits between two attempts to connect: Envoy 30 s.
  static constexpr absl::Duration kComeBack = absl::Minutes(1);

  // What one stream contributes.
  struct Stream {
    StreamId id = StreamId::kNone;
    size_t index = 0;  // in streams_
    EvictionNotice on_evicted;
    bool takes_bundle = false;
    bool takes_key = false;
    TrustVersion trust_version = 0;
    // The key that it acknowledged; generation 0: none yet.
    struct Key {
      uint64_t generation = 0;
      std::string serial;
      std::string authority_id;
      std::string version_info;
    } key;
    std::string version_info;
    std::string rejected;  // what its last answer said, when that was a NACK
  };

  // One that is seen for the first time.
  SubscriberInstance(std::string instance, absl::Time now);
  // One that the last run remembered. It is not connected.
  explicit SubscriberInstance(SubscriberRecord row);

  // Who it says it is this time: of `info` spiffe_id (unless empty), node, kind and peer.
  void Introduce(const SubscriberRecord& info);

  Stream& Join(StreamId id, EvictionNotice on_evicted, const Moment& now);
  void Acknowledge(Stream& stream, const Acknowledgement& acknowledgement, absl::Time now);
  void Reject(Stream& stream, absl::string_view what, absl::Time now);
  // `stream` ends. `broken`: its connection did, and the proxy still runs and holds what it had. Otherwise the proxy
  // gave the subscription up, and it counts no more, unless it was the last: then the instance has left.
  void Leave(Stream& stream, bool broken, const Moment& now);
  void Deliver(const Delivery& delivery, absl::Time now);

  // Something is on its way to it: from now on it may hold what is remembered of it.
  void MayHold() { may_hold_ = true; }
  // A certificate is, that ends at `not_after`.
  void Certify(absl::Time not_after);
  // Of what it holds nothing ends later than `until`: later certificates were revoked. False: that was so already.
  bool EndCertificates(absl::Time until);
  // Forgets keys it was sent that have ended, while it has another one. False: there are none.
  bool DropEndedKeys(absl::Time now);

  // The operator says that it is gone for good: it counts as one that has acknowledged nothing, and its streams, which
  // are returned, are evidence of nothing any more.
  std::vector<std::unique_ptr<Stream>> Evict(absl::Time now);
  // The eviction did not become durable: it counts again.
  void TakeBackEviction() { record_.evicted_at = absl::InfiniteFuture(); }

  // What it holds. Worked out here and not at each acknowledgement: ten thousand streams of one instance would cost
  // their square.
  const SubscriberRecord& Settle(absl::Duration since_boot);
  // The same, as it was settled last: who it is, whether it is evicted and when it ends are always true.
  const SubscriberRecord& record() const { return record_; }
  bool may_hold() const { return may_hold_; }
  bool HasStreams() const { return !streams_.empty(); }

 private:
  void Remember(const Stream& stream, absl::Duration since_boot);
  void SettleTaking(absl::Duration since_boot);
  void SettleKeysSent();

  SubscriberRecord record_;
  bool may_hold_ = false;  // something was sent to it once
  std::vector<std::unique_ptr<Stream>> streams_;
  // What it was sent last, by SPIFFE ID. A row holds one key, the oldest. Where its version_info is "", others may be
  // held too, and nobody knows whose this one is: it stands here under "" after a restart, and nothing but its end
  // takes it away.
  std::map<std::string, Delivery::Key> sent_;
  // The least that streams held whose connection broke, while none has come back: their proxy still uses that.
  std::optional<TrustVersion> departed_trust_;
  std::optional<Stream::Key> departed_key_;
  // What streams carried whose connection broke, or that the last run left; believed until then, since boot.
  bool carried_bundle_ = false;
  bool carried_key_ = false;
  absl::Duration carried_until_ = absl::InfiniteDuration();
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_INSTANCE_H_
