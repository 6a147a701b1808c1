// What StreamSecrets and DeltaSecrets have in common: one caller, a set of names, and answers to responses.
#ifndef MESHCA_SDS_DISCOVERY_STREAM_H_
#define MESHCA_SDS_DISCOVERY_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/stream.h"
#include "ca/subscribers/subscriber_registry.h"
#include "sds/discovery_request.h"
#include "sds/discovery_response.h"
#include "sds/key_ring.h"
#include "sds/secret_hub.h"
#include "sds/secret_snapshot.h"

namespace meshca::sds {

// Sends the newest of every resource subscribed to, skips what a slow proxy had no time to read, and tells the registry
// what the proxy acknowledged. Lives on its connection's loop; hub and key ring reach it by posting, so it holds no
// lock.
//
// One response may be unanswered when the next is due: the next then holds again what the first held, in its newest
// form. So the last nonce alone decides, an older answer is stale, and no evidence is lost with it.
class DiscoveryStream : public BundleWatcher {
 public:
  void OnMessage(absl::string_view message) final;
  void OnHalfClose() final;
  void OnWritable() final;
  void OnClose(const absl::Status& why) final;
  void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) final;
  void OnEvicted(const absl::Status& why) final;

 protected:
  // One name of the subscription that may be had.
  struct Slot {
    ResolvedName name;
    size_t charge = 0;                             // what it holds of the stream's charge
    std::shared_ptr<const SecretSnapshot> newest;  // null: being issued
    bool unsent = false;                           // `newest` waits to be sent
    bool may_wait = true;                          // the first response waits for it
    std::shared_ptr<const SecretSnapshot> sent;    // in the last response, which is not answered yet
    KeyRing::Lease lease;
    uint64_t lease_number = 0;  // tells an update of this lease from one of a lease before
  };
  using Slots = absl::InlinedVector<Slot, 1>;

  // Both outlive the stream.
  DiscoveryStream(rpc::Stream& stream, SecretHub& hub, Protocol protocol);

  virtual absl::StatusOr<DiscoveryAsk> Read(absl::string_view message) const = 0;
  // Applies the names of `ask` by Subscribe and Unsubscribe. Not called for a stale request of a protocol where
  // StaleNamesCount() is false.
  virtual void ApplyNames(DiscoveryAsk& ask) = 0;
  // Delta tells what changed, so its names count even beside a stale nonce.
  virtual bool StaleNamesCount() const = 0;
  // Names subscribed to that cannot be had, or no longer, to list as removed in the next response; emptied by it. Never
  // more than the names of the subscription, however often a client that does not read asks. Null: the protocol has
  // none.
  virtual std::set<std::string, std::less<>>* removed() { return nullptr; }

  // Adds `name`, or sends it again where it is there already and `again`. A name that was refused stays refused until
  // the subscription to it ends.
  void Subscribe(const std::string& name, bool again);
  void Unsubscribe(const std::string& name);
  // Ends the subscription to every name that is not among `names`.
  void UnsubscribeOthers(const std::vector<std::string>& names);

 private:
  enum class Answer { kNone, kFresh, kStale };

  // A name subscribed to that may not be had. Why is worked out anew when somebody is told: names and texts of a
  // stream that asks for hundreds of secrets it may not have would fill the memory.
  struct Denied {
    uint64_t hash = 0;  // of the name
    size_t bytes = 0;   // it has
  };

  void OnCaller(absl::StatusOr<std::shared_ptr<const SdsCaller>> caller);
  void Handle(DiscoveryAsk ask);
  // Takes `message` where it is an ACK of the last response that changes nothing else.
  bool TakeBareAck(absl::string_view message);
  Answer TakeAnswer(const DiscoveryAsk& ask);
  void Acknowledge();
  void OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content);
  // Into the registry, with the first name that may be had: `asked`, for an identity. False: there is no room, and the
  // stream has ended.
  bool Join(const SpiffeId& asked);
  void SubscribeToKey(ResolvedName name);
  void SubscribeToBundle(ResolvedName name);
  // Null: there is no room for it, and the stream has ended.
  Slot* AddSlot(ResolvedName name, size_t extra_charge);
  void EraseSlot(Slot& slot);
  void Hold(Slot& slot);
  void Deny(const std::string& name);
  void EraseDenied(size_t index);
  size_t FindDenied(absl::string_view name) const;
  // What everything that is kept because of this stream weighs, on the buffer budget of connection, source and process.
  // False: it has no room for `bytes` more, and the stream has ended.
  bool Charge(size_t bytes);
  void Uncharge(size_t bytes);
  void Count();
  // Ends the stream when nothing of what it asks for can be had; `why` is asked for the reason then.
  bool FinishIfNothingLeft(absl::FunctionRef<absl::Status()> why);
  // The refusal of the first of `names` that may not be had.
  absl::Status WhyNot(const std::vector<std::string>& names) const;
  void Flush();
  void Fail(const absl::Status& why);
  Slot* Find(absl::string_view name);
  void Removed(const std::string& name);
  void ForgetRemoved();

  rpc::Stream& stream_;
  SecretHub& hub_;
  const Protocol protocol_;
  bool begun_ = false;        // the first request was read
  bool ended_ = false;        // Finish was called
  bool half_closed_ = false;  // nothing will be asked or answered any more
  std::string node_;
  std::vector<DiscoveryAsk> early_;  // before the caller is known
  size_t early_bytes_ = 0;           // of their names
  std::shared_ptr<const SdsCaller> caller_;
  std::shared_ptr<const BundleSecrets> bundles_;
  SubscriberRegistry::Member member_;
  Slots slots_;
  std::vector<Denied> denied_;
  size_t name_bytes_ = 0;         // of the names in slots_ and denied_
  size_t charge_ = 0;             // what the stream holds of the buffer budget
  size_t early_charge_ = 0;       // of it: early_
  size_t removed_charge_ = 0;     // of it: removed()
  size_t rejection_charge_ = 0;   // of it: the text of the last NACK, which the registry keeps
  bool judged_long_ago_ = false;  // requests have been handled since the caller was authenticated
  uint64_t last_nonce_ = 0;       // of the last response sent; 0: none
  uint64_t leases_ = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_STREAM_H_
