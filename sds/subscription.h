// What one stream asks for, what it was sent, and what it acknowledged.
#ifndef MESHCA_SDS_SUBSCRIPTION_H_
#define MESHCA_SDS_SUBSCRIPTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/subscribers/trust_proof.h"
#include "sds/bundle_publisher.h"
#include "sds/key_ring.h"
#include "sds/secret_name.h"
#include "sds/secret_snapshot.h"

namespace meshca::sds {

// The names of a stream and, for each that may be had, how far the proxy is. A value: no stream, no clock, no lock.
//
// One response may be unanswered when the next is due. The next then holds again, in its newest form, what the first
// held. So the last nonce alone decides what an answer is worth: an answer to an older response is stale, and no
// evidence is lost with it.
class Subscription {
 public:
  // A name that may be had.
  struct Slot {
    ResolvedName name;
    size_t charge = 0;                             // what it holds of the stream's charge
    std::shared_ptr<const SecretSnapshot> newest;  // null: being issued
    bool unsent = false;                           // `newest` waits to be sent
    bool may_wait = true;                          // the first response waits for it
    std::shared_ptr<const SecretSnapshot> sent;    // in the last response, which is not answered yet
    KeyRing::Lease lease;                          // kIdentity: holds its key
    uint64_t lease_number = 0;                     // tells news of this lease from those of a lease before; 0: none

    void Offer(std::shared_ptr<const SecretSnapshot> snapshot) {
      newest = std::move(snapshot);
      unsent = true;
    }
  };
  // What a name that may not be had holds of the stream's charge.
  static constexpr size_t kRefusedCharge = 32;

  // ---- Names. Each is in at most one of two states: it has a slot, or it is refused.

  Slot* Find(absl::string_view name);
  Slot* FindLease(uint64_t lease_number);
  // `name` is not subscribed to yet. The slot is valid until the next name comes or goes.
  Slot& Add(ResolvedName name, size_t charge);
  bool IsRefused(absl::string_view name) const { return FindRefused(name) < refused_.size(); }
  // `name` has no slot.
  void Refuse(absl::string_view name);
  // Ends the subscription to `name`; returns what it held of the charge: 0 where it was not subscribed to.
  size_t Erase(absl::string_view name);
  // The same with every name that is not among `names`.
  size_t EraseOthers(const std::vector<std::string>& names);

  // In the order in which they were asked for.
  const absl::InlinedVector<Slot, 1>& slots() const { return slots_; }
  size_t refused() const { return refused_.size(); }
  // InvalidArgument: more names than a stream may have (CheckNames).
  absl::Status CheckSize() const;
  // Whether names of either sort are there: decides what the stream is evidence for.
  bool CarriesBundle() const;
  bool CarriesKey() const;

  // ---- Responses.

  // Of the last response sent; 0: none was.
  uint64_t last_nonce() const { return last_nonce_; }
  using Resources = absl::InlinedVector<const SecretSnapshot*, 2>;
  struct Next {
    bool waits = false;   // the first response is not whole yet: nothing is sent
    bool due = false;     // something in `resources` was not sent yet
    Resources resources;  // valid until a slot changes
  };
  // What a response sent at `now` would hold: all that is new, and all that the last response held and nobody has
  // answered. A certificate that has ended is not sent: the key ring is at work on the next.
  Next ComposeNext(absl::Time now) const;
  // `resources`, as composed, are on their way in the response with this nonce.
  void MarkSent(const Resources& resources, uint64_t nonce);
  // New bundles: to be sent where they differ from those that are there.
  void OfferBundles(const BundleSecrets& bundles);
  // The proxy has something of us, or may still get it in the first response.
  bool HasOrAwaitsAnything() const;

  // ---- Answers.

  enum class Answer {
    kNone,   // not an answer
    kFresh,  // to the last response
    kStale,  // to an older one: proves nothing
  };
  Answer JudgeNonce(absl::string_view nonce) const;
  // The last response was acknowledged: what that proves. Nothing, where all of it was answered before.
  // Of several bundles the older counts; of several identities `default`, else the first.
  std::optional<Acknowledgement> TakeAcknowledgement();
  // The last response was rejected. False: all of it was answered before.
  bool TakeRejection();

 private:
  // Of a name that may not be had its hash and its length are kept. Why is worked out anew when somebody is told: names
  // and texts of a stream that asks for hundreds of secrets it may not have would fill the memory.
  struct Refused {
    uint64_t hash = 0;
    size_t bytes = 0;
  };

  size_t FindRefused(absl::string_view name) const;  // refused_.size(): it is not there
  size_t EraseSlot(size_t index);
  size_t EraseRefused(size_t index);

  absl::InlinedVector<Slot, 1> slots_;
  std::vector<Refused> refused_;
  size_t name_bytes_ = 0;  // of all names
  uint64_t last_nonce_ = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SUBSCRIPTION_H_
