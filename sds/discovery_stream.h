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
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/stream.h"
#include "sds/discovery_request.h"
#include "sds/discovery_response.h"
#include "sds/key_ring.h"
#include "sds/secret_hub.h"
#include "sds/secret_snapshot.h"
#include "sds/subscriber_registry.h"

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
  // One name of the subscription.
  struct Slot {
    ResolvedName name;
    absl::Status denied;                           // not Ok: may not be had, and why
    std::shared_ptr<const SecretSnapshot> newest;  // null: being issued, or denied
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

  // Adds `name`, or sends it again where it is there already and `again`.
  void Subscribe(const std::string& name, bool again);
  void Unsubscribe(const std::string& name);
  const Slots& slots() const { return slots_; }

 private:
  enum class Answer { kNone, kFresh, kStale };

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
  void Hold(Slot& slot);
  void Deny(Slot& slot, absl::Status why);
  void Count();
  bool FinishIfNothingLeft();
  void Flush();
  void Fail(const absl::Status& why);
  Slot* Find(absl::string_view name);
  void Removed(const std::string& name);

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
  size_t name_bytes_ = 0;    // of the names in slots_
  uint64_t last_nonce_ = 0;  // of the last response sent; 0: none
  uint64_t leases_ = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_STREAM_H_
