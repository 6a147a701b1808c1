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

// The names that a stream asks for and, for each name that its caller may have, what was sent and acknowledged. A
// value: it knows no stream, no clock and no lock.
//
// A response may still be unanswered when the next one is sent. The next one then repeats, in their newest form, all
// resources of the unanswered one. So only an answer to the last response counts; an answer to an older one is stale
// and can be ignored without losing evidence.
class Subscription {
 public:
  // A name that the caller may have.
  struct Slot {
    ResolvedName name;
    size_t charge = 0;                             // bytes of the stream's charge that it accounts for
    std::shared_ptr<const SecretSnapshot> newest;  // null: the key is being issued
    bool unsent = false;                           // `newest` was not sent yet, or is to be sent again
    bool may_wait = true;                          // the first response waits until `newest` is there
    std::shared_ptr<const SecretSnapshot> sent;    // what the last response held and nobody answered; null: nothing
    KeyRing::Lease lease;                          // for kIdentity: holds the key
    uint64_t lease_number = 0;                     // news with another number is of an earlier lease; 0: no lease

    void Offer(std::shared_ptr<const SecretSnapshot> snapshot) {
      newest = std::move(snapshot);
      unsent = true;
    }
  };
  // Bytes of the stream's charge that a refused name accounts for.
  static constexpr size_t kRefusedCharge = 32;

  // ---- Names. Each is in at most one of two states: it has a slot, or it is refused.

  Slot* Find(absl::string_view name);
  Slot* FindLease(uint64_t lease_number);
  // `name` must not be subscribed to yet. The reference is valid until the next name is added or erased.
  Slot& Add(ResolvedName name, size_t charge);
  bool IsRefused(absl::string_view name) const { return FindRefused(name) < refused_.size(); }
  // Records that the caller may not have `name`, which must have no slot and not be refused already.
  void Refuse(absl::string_view name);
  // Ends the subscription to `name`; returns the charge that this frees: 0 where it was not subscribed to.
  size_t Erase(absl::string_view name);
  // Ends the subscription to every name that is not among `names`; returns the charge that this frees.
  size_t EraseOthers(const std::vector<std::string>& names);

  // In the order in which they were asked for.
  const absl::InlinedVector<Slot, 1>& slots() const { return slots_; }
  size_t refused() const { return refused_.size(); }
  // InvalidArgument: more names than a stream may have (CheckNames).
  absl::Status CheckSize() const;
  // Whether there is a slot for a bundle, or for an identity: decides what the stream is evidence for.
  bool CarriesBundle() const;
  bool CarriesKey() const;

  // ---- Responses.

  // The nonce of the last response sent; 0: none was.
  uint64_t last_nonce() const { return last_nonce_; }
  using Resources = absl::InlinedVector<const SecretSnapshot*, 2>;
  struct Next {
    bool waits = false;   // the first response is not complete yet: send nothing
    bool due = false;     // something in `resources` was not sent yet
    Resources resources;  // valid until a slot changes
  };
  // What a response sent at `now` has to hold: all that is unsent, and all that the last response held and nobody has
  // answered. A certificate that has ended is left out: the key ring is making the next one.
  Next ComposeNext(absl::Time now) const;
  // Records that `resources`, from ComposeNext, were sent in the response with this nonce.
  void MarkSent(const Resources& resources, uint64_t nonce);
  // Marks each bundle as unsent that differs in `bundles` from the present one.
  void OfferBundles(const BundleSecrets& bundles);
  // Whether the proxy was sent something, or something is there or awaited for its first response.
  bool HasOrAwaitsAnything() const;

  // ---- Answers.

  enum class Answer {
    kNone,   // the request answers no response
    kFresh,  // it answers the last response
    kStale,  // it answers an older one and proves nothing
  };
  Answer JudgeNonce(absl::string_view nonce) const;
  // The last response was acknowledged: marks it as answered and returns what that proves; nullopt if it was answered
  // before. Of several bundles the oldest version counts; of several identities `default`, else the first.
  std::optional<Acknowledgement> TakeAcknowledgement();
  // The last response was rejected: marks it as answered. False: it was answered before.
  bool TakeRejection();

 private:
  // Of a refused name only its hash and its length are kept, and the reason is worked out again when it is needed:
  // otherwise a stream that asks for hundreds of secrets it may not have would fill the memory.
  struct Refused {
    uint64_t hash = 0;
    size_t bytes = 0;
  };

  size_t FindRefused(absl::string_view name) const;  // refused_.size(): it is not there
  size_t EraseSlot(size_t index);
  size_t EraseRefused(size_t index);

  absl::InlinedVector<Slot, 1> slots_;
  std::vector<Refused> refused_;
  size_t name_bytes_ = 0;  // sum of the lengths of all names, refused ones included
  uint64_t last_nonce_ = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SUBSCRIPTION_H_
