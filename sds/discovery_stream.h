// What StreamSecrets and DeltaSecrets have in common: one caller, a set of names, and answers to responses.
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

// Sends the newest of every resource subscribed to, skips what a slow proxy had no time to read, and tells the registry
// what the proxy acknowledged. Lives on its connection's loop; publisher, ring and registry reach it by posting, so it
// holds no lock.
class DiscoveryStream : public BundleWatcher {
 public:
  void OnMessage(absl::string_view message) final;
  void OnHalfClose() final;
  void OnWritable() final;
  void OnClose(const absl::Status& why) final;
  void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) final;
  void OnEvicted(const absl::Status& why) final;

 protected:
  // Both outlive the stream.
  DiscoveryStream(rpc::Stream& stream, SecretHub& hub) : stream_(stream), hub_(hub) {}

  // ---- In what the two protocols differ.

  virtual absl::StatusOr<DiscoveryAsk> ReadRequest(absl::string_view message) const = 0;
  // Is `message` an ACK of the last response, and nothing else? False where only ReadRequest can tell.
  virtual bool IsAckAlone(absl::string_view message) const = 0;
  // Applies the names of `ask` by Subscribe and Unsubscribe. Not called for a stale request of a protocol where
  // StaleNamesCount() is false.
  virtual void ApplyNames(DiscoveryAsk& ask) = 0;
  // Whether the names of a request count even beside a stale nonce.
  virtual bool StaleNamesCount() const = 0;
  // A response with `resources` and whatever else the protocol has to tell now; its nonce is above the last one's.
  virtual NumberedResponse MakeNextResponse(std::span<const SecretSnapshot* const> resources) const = 0;
  // `name`, which is subscribed to, cannot be had, or no longer.
  virtual void OnRefused(const std::string& name) {}
  // Whether a response is due though no resource is new.
  virtual bool HasMoreToTell() const { return false; }
  // The response that was made last has been sent.
  virtual void OnSent() {}

  // ---- For their answers.

  // Adds `name`, or sends it again where it is there already and `again`. A name that was refused stays refused until
  // the subscription to it ends.
  void Subscribe(const std::string& name, bool again);
  void Unsubscribe(const std::string& name) { Uncharge(subscription_.Erase(name)); }
  // Ends the subscription to every name that is not among `names`.
  void UnsubscribeOthers(const std::vector<std::string>& names) { Uncharge(subscription_.EraseOthers(names)); }
  const Subscription& subscription() const { return subscription_; }

  // What everything that is kept because of this stream weighs, on the buffer budget of connection, source and process.
  // False: it has no room for `bytes` more, and the stream has ended.
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
  // Null: there is no room for it, and the stream has ended.
  Subscription::Slot* AddSlot(ResolvedName name, size_t extra_charge);
  void HoldKey(Subscription::Slot& slot);
  void Refuse(const std::string& name);
  // Into the registry, with the first name that may be had: `asked`, for an identity. False: there is no room, and the
  // stream has ended.
  bool Join(const SpiffeId& asked);
  void TellWhatIsCarried();
  // The refusal of the first of `names` that may not be had.
  absl::Status FindRefusal(const std::vector<std::string>& names) const;
  // Ends the stream when nothing of what it asks for can be had; `why` is asked for the reason then.
  bool FinishIfNothingLeft(absl::FunctionRef<absl::Status()> why);

  // ---- Answers.
  void OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content);
  void OnNoKey(Subscription::Slot& slot, const absl::Status& why);
  // Sends what is due, if the client reads.
  void Flush();
  void Fail(const absl::Status& why);

  rpc::Stream& stream_;
  SecretHub& hub_;
  bool begun_ = false;            // the first request was read
  bool ended_ = false;            // Finish was called
  bool half_closed_ = false;      // nothing will be asked or answered any more
  bool judged_long_ago_ = false;  // requests have been handled since the caller was authenticated
  std::string node_;
  std::vector<DiscoveryAsk> early_;  // before the caller is known
  std::shared_ptr<const SdsCaller> caller_;
  std::shared_ptr<const BundleSecrets> bundles_;  // null: it carries none
  BundlePublisher::Watch watch_;
  SubscriberRegistry::Member member_;
  Subscription subscription_;
  size_t charge_ = 0;            // what the stream holds of the buffer budget
  size_t rejection_charge_ = 0;  // of it: the text of the last NACK, which the registry keeps
  uint64_t leases_ = 0;          // numbers given so far
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_STREAM_H_
