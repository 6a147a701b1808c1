// The streams of the SPIFFE Workload API: FetchX509SVID, FetchX509Bundles and FetchJWTBundles.
#ifndef MESHCA_SDS_WORKLOAD_STREAM_H_
#define MESHCA_SDS_WORKLOAD_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/entry_advice.h"
#include "ca/rpc/stream.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/subscriber_registry.h"
#include "sds/bundle_publisher.h"
#include "sds/caller.h"
#include "sds/key_ring.h"
#include "sds/secret_hub.h"
#include "sds/secret_snapshot.h"
#include "sds/workload_response.h"

namespace meshca::sds {

// One process is served at most so many identities.
inline constexpr size_t kWorkloadSvidsMax = 256;

// PermissionDenied (EntryMissing, with the command that helps): `caller` has no identity, as an operator on the admin
// socket has none of its own. ResourceExhausted (TOO_MANY_IDENTITIES): more than kWorkloadSvidsMax.
absl::Status CheckHasIdentities(const SdsCaller& caller, const TrustDomain& own, const EntryAdvice& advice);

// The whole state of a stream, as it is now.
struct WorkloadMessage {
  rpc::Payload payload;
  Acknowledgement holds;                               // what it proves once it was delivered
  absl::Time certificate_ends = absl::InfinitePast();  // the latest end of its certificates
};

// What the three have in common: one request, one caller, and the whole state in each message, the first at once and
// another whenever any of it changes; versions that a slow client had no time to read are skipped. The caller is judged
// again when registration entries change: the stream then carries what the caller may have now, and ends with
// PermissionDenied when that is nothing.
//
// There are no acknowledgements. What was written counts as delivered when the stream is still open some time later
// (SubscriberRegistry::Member::Wrote); a client that has not read it by then is cut.
//
// Lives on its connection's loop; the publisher, the key ring and the registry reach it by posting there, so it needs
// no lock.
class WorkloadStream : public BundleWatcher {
 public:
  void OnMessage(absl::string_view message) final;
  void OnHalfClose() final;
  void OnWritable() final { Flush(); }
  void OnClose(const absl::Status& why) final;
  void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) final;
  void OnEntriesChanged() final;
  void OnJudgeAgain() final;
  void OnEvicted(const absl::Status& why) final;
  // What was written first is due to count as delivered.
  void OnDeliveryDue();

 protected:
  // `stream` and `hub` outlive this object. `taking` is kWorkload or kWorkloadJwt; `carried`: what it carries.
  WorkloadStream(rpc::Stream& stream, SecretHub& hub, Taking taking, const Carried& carried)
      : stream_(stream), hub_(hub), taking_(taking), carried_(carried) {}

  // ---- What the three do differently.

  // Whether `caller` may have anything that this stream carries; the error ends the stream.
  virtual absl::Status CheckEntitled(const SdsCaller& caller) const { return absl::OkStatus(); }
  // An entitled `caller` was judged, for the first time or again. May end the stream by Fail.
  virtual void OnJudged(const SdsCaller& caller) {}
  // nullopt: it is not whole yet; Changed is called when it may be. Any error ends the stream.
  virtual absl::StatusOr<std::optional<WorkloadMessage>> Compose() = 0;
  // The stream ends: lets go of what it holds.
  virtual void OnEnded() {}

  // ---- What the three call.

  // Something in the next message has changed.
  void Changed();
  // Ends the stream; the client is told `why`, as far as a client may know.
  void Fail(const absl::Status& why);
  // Adds `bytes` to what this stream's memory counts for (Stream::HoldBytes). False: there is no room, and the stream
  // was ended (ResourceExhausted).
  bool Charge(size_t bytes);
  void Uncharge(size_t bytes);

  bool ended() const { return ended_; }
  bool sent_something() const { return sent_something_; }
  SecretHub& hub() const { return hub_; }
  const std::shared_ptr<const SdsCaller>& caller() const { return caller_; }
  const BundleSecrets& bundles() const { return *bundles_; }
  std::string InstanceName() const { return hub_.callers().InstanceOf(*caller_, taking_, "", {}).instance; }
  rpc::Stream& stream() const { return stream_; }

 private:
  rpc::TypedStreamHandle<WorkloadStream> Handle() { return {stream_, *this}; }
  void Judge();
  void TakeJudgement(absl::StatusOr<std::shared_ptr<const SdsCaller>> caller);
  // Joins the registry, once. False: it has no room, and the stream was ended.
  bool Join();
  // Sends what has changed, unless the client has not read what came before: OnWritable calls this again.
  void Flush();

  rpc::Stream& stream_;
  SecretHub& hub_;
  const Taking taking_;
  const Carried carried_;
  bool begun_ = false;        // the request was read
  bool ended_ = false;        // Finish was called
  bool judging_ = false;      // the caller is being judged
  bool judge_again_ = false;  // entries changed meanwhile
  bool unjudged_ = false;     // entries changed, and nobody could say what that means for this caller
  bool changed_ = true;       // the state differs from what was sent last
  bool sent_something_ = false;
  std::shared_ptr<const SdsCaller> caller_;       // null: not judged yet
  std::shared_ptr<const BundleSecrets> bundles_;  // null: before the request
  BundlePublisher::Watch watch_;
  SubscriberRegistry::Member member_;
  size_t charge_ = 0;  // bytes that the stream holds of the buffer budget
};

// FetchX509SVID: every X.509-SVID that the caller may have, in the order of its rights, and the bundles to verify peers
// by. An identity that cannot be had now is left out until it can, except the first, the default one: without it
// nothing is sent, because a client would take another one for it.
class X509SvidStream final : public WorkloadStream {
 public:
  // `responses` outlives this object too.
  X509SvidStream(rpc::Stream& stream, SecretHub& hub, WorkloadResponses& responses)
      : WorkloadStream(stream, hub, Taking::kWorkload, {.bundle = true, .key = true}), responses_(responses) {}

 private:
  // One identity of the caller.
  struct Slot {
    SpiffeId id;
    std::string hint;
    size_t charge = 0;
    SecretContent::Ptr newest;  // null: the key is being made
    bool may_wait = true;       // the first message waits for it
    uint64_t lease_number = 0;  // news with another number is of an earlier lease
    KeyRing::Lease lease;
  };

  absl::Status CheckEntitled(const SdsCaller& caller) const override;
  void OnJudged(const SdsCaller& caller) override;
  absl::StatusOr<std::optional<WorkloadMessage>> Compose() override;
  void OnEnded() override { slots_.clear(); }

  void OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content);
  void OnNoKey(Slot& slot, const absl::Status& why);
  // False: the stream was ended.
  bool HoldKey(Slot& slot);

  WorkloadResponses& responses_;
  absl::InlinedVector<Slot, 1> slots_;  // in the order of the answer
  uint64_t leases_ = 0;                 // the last Slot::lease_number that was given
};

// FetchX509Bundles and FetchJWTBundles.
class WorkloadBundleStream final : public WorkloadStream {
 public:
  enum class Kind { kX509, kJwt };
  WorkloadBundleStream(rpc::Stream& stream, SecretHub& hub, Kind kind)
      : WorkloadStream(stream, hub, kind == Kind::kX509 ? Taking::kWorkload : Taking::kWorkloadJwt,
                       {.bundle = kind == Kind::kX509, .jwt_keys = kind == Kind::kJwt}),
        kind_(kind) {}

 private:
  absl::StatusOr<std::optional<WorkloadMessage>> Compose() override;

  const Kind kind_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_WORKLOAD_STREAM_H_
