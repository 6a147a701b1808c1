// What StreamSecrets and DeltaSecrets share: they authenticate one caller, keep the set of names it subscribes to, send
// these secrets, and read the client's ACKs and NACKs.
#ifndef MESHCA_SDS_DISCOVERY_STREAM_H_
#define MESHCA_SDS_DISCOVERY_STREAM_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/stream.h"
#include "ca/subscribers/subscriber_registry.h"
#include "sds/bundle_publisher.h"
#include "sds/discovery_request.h"
#include "sds/discovery_response.h"
#include "sds/key_ring.h"
#include "sds/secret_hub.h"
#include "sds/secret_snapshot.h"
#include "sds/subscription.h"

namespace meshca::sds {

// Sends the newest version of every resource that is subscribed to, skips versions that a slow proxy had no time to
// read, and tells the SubscriberRegistry what the proxy acknowledged. Lives on its connection's loop. The publisher,
// the key ring and the registry reach it by posting to that loop, so it needs no lock.
class DiscoveryStream : public BundleWatcher {
 public:
  void OnMessage(absl::string_view message) final;
  void OnHalfClose() final;
  void OnWritable() final;
  void OnClose(const absl::Status& why) final;
  void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) final;
  void OnEvicted(const absl::Status& why) final;

 protected:
  // `stream` and `hub` outlive this object.
  DiscoveryStream(rpc::Stream& stream, SecretHub& hub) : stream_(stream), hub_(hub) {}

  // ---- What the two protocols do differently.

  virtual absl::StatusOr<DiscoveryAsk> ReadRequest(absl::string_view message) const = 0;
  // IsBareAck for the last response: false also where only ReadRequest can tell.
  virtual bool IsAckAlone(absl::string_view message) const = 0;
  // Applies the names of `ask` by calling Subscribe and Unsubscribe. Not called for a request with a stale nonce when
  // StaleNamesCount() is false.
  virtual void ApplyNames(DiscoveryAsk& ask) = 0;
  // Whether the names of a request count even beside a stale nonce.
  virtual bool StaleNamesCount() const = 0;
  // A response with `resources` and, in delta, removed names. Its nonce is greater than that of the last response.
  virtual NumberedResponse MakeNextResponse(std::span<const SecretSnapshot* const> resources) const = 0;
  // The client asked for `name` and may not have it, or may not have it any more.
  virtual void OnRefused(const std::string& name) {}
  // Whether a response has to be sent although no resource is new.
  virtual bool HasMoreToTell() const { return false; }
  // The response that was made last has been sent.
  virtual void OnSent() {}

  // ---- What the two protocols call.

  // Subscribes to `name`. If it is subscribed to already and `again`, it is sent again. A name that was refused stays
  // refused until the subscription to it ends.
  void Subscribe(const std::string& name, bool again);
  void Unsubscribe(const std::string& name) { Uncharge(subscription_.Erase(name)); }
  // Ends the subscription to every name that is not among `names`.
  void UnsubscribeOthers(const std::vector<std::string>& names) { Uncharge(subscription_.EraseOthers(names)); }
  const Subscription& subscription() const { return subscription_; }

  // Adds `bytes` to what this stream's memory counts for in the buffer budget of its connection, its source and the
  // process (Stream::HoldBytes). False: the budget has no room for them, and the stream was ended (ResourceExhausted).
  bool Charge(size_t bytes);
  void Uncharge(size_t bytes);

 private:
  rpc::TypedStreamHandle<DiscoveryStream> Handle() { return {stream_, *this}; }

  // ---- Requests.
  void KeepForLater(DiscoveryAsk ask);
  void OnCaller(absl::StatusOr<std::shared_ptr<const SdsCaller>> caller);
  void HandleRequest(DiscoveryAsk ask);
  Subscription::Answer TakeAnswer(const DiscoveryAsk& ask);
  void Acknowledge();

  // ---- Names.
  void SubscribeToKey(ResolvedName name);
  void SubscribeToBundle(ResolvedName name);
  // Null: the budget has no room for the slot, and the stream was ended.
  Subscription::Slot* AddSlot(ResolvedName name, size_t extra_charge);
  void HoldKey(Subscription::Slot& slot);
  void Refuse(const std::string& name);
  // Joins the registry when the first name is granted; `asked` is that name if it is an identity, else empty. False:
  // the registry has no room for the instance, and the stream was ended.
  bool Join(const SpiffeId& asked);
  void TellWhatIsCarried();
  // Why the first refused name among `names` is refused.
  absl::Status FindRefusal(const std::vector<std::string>& names) const;
  // Ends the stream if every name that it asks for is refused; `why` then gives the status. True: it was ended.
  bool FinishIfNothingLeft(absl::FunctionRef<absl::Status()> why);

  // ---- Answers.
  void OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content);
  void OnNoKey(Subscription::Slot& slot, const absl::Status& why);
  // Sends what is due, unless the peer's window is full: OnWritable calls this again.
  void Flush();
  void Fail(const absl::Status& why);

  rpc::Stream& stream_;
  SecretHub& hub_;
  bool begun_ = false;            // the first request was read
  bool ended_ = false;            // Finish was called
  bool half_closed_ = false;      // the client sends no more messages
  bool judged_long_ago_ = false;  // requests have been handled since the caller was authenticated
  std::string node_;
  std::vector<DiscoveryAsk> early_;               // requests that arrived before the caller was authenticated
  std::shared_ptr<const SdsCaller> caller_;       // null: not authenticated yet
  std::shared_ptr<const BundleSecrets> bundles_;  // null: the stream carries no bundle
  BundlePublisher::Watch watch_;
  SubscriberRegistry::Member member_;
  Subscription subscription_;
  size_t charge_ = 0;            // bytes that the stream holds of the buffer budget
  size_t rejection_charge_ = 0;  // of these: for the text of the last NACK, which the registry keeps
  uint64_t leases_ = 0;          // the last Subscription::Slot::lease_number that was given
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_STREAM_H_
