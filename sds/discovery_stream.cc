#include "sds/discovery_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/edge/edge_status.h"
#include "sds/svid_source.h"

namespace meshca::sds {
namespace {

// Requests that may arrive before the caller is known.
constexpr size_t kEarlyMax = 16;

// About what each of these costs besides the bytes of its name, growth of the containers included.
constexpr size_t kEarlyNameCharge = 48;
constexpr size_t kEarlyAskCharge = 512;
constexpr size_t kSlotCharge = 512;
// A private key and its chain, as the key ring, the stream and the registry keep them.
constexpr size_t kKeyCharge = 4096;

size_t ChargeOf(const DiscoveryAsk& ask) {
  return kEarlyAskCharge + ask.NameBytes() + kEarlyNameCharge * (ask.names.size() + ask.unsubscribe.size()) +
         ask.rejection.value_or("").size();
}

}  // namespace

void DiscoveryStream::OnMessage(absl::string_view message) {
  if (ended_) return;
  if (subscription_.last_nonce() != 0 && IsAckAlone(message)) {
    Acknowledge();
    return Flush();
  }
  absl::StatusOr<DiscoveryAsk> ask = ReadRequest(message);
  if (!ask.ok()) return Fail(ask.status());
  if (caller_ == nullptr) return KeepForLater(*std::move(ask));
  HandleRequest(*std::move(ask));
}

void DiscoveryStream::KeepForLater(DiscoveryAsk ask) {
  size_t name_bytes = ask.NameBytes();
  for (const DiscoveryAsk& earlier : early_) name_bytes += earlier.NameBytes();
  if (early_.size() >= kEarlyMax || name_bytes > kNamesBytesMax) {
    return Fail(WithReason(absl::ResourceExhaustedError("SDS: too many requests before the first answer"),
                           "TOO_MANY_REQUESTS"));
  }
  if (!Charge(ChargeOf(ask))) return;
  early_.push_back(std::move(ask));
  if (std::exchange(begun_, true)) return;
  node_ = std::move(early_.front().node_id);
  hub_.callers().Authenticate(
      stream_.peer(), node_, [handle = Handle()](absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
        handle.Post([caller = std::move(caller)](DiscoveryStream& self) mutable { self.OnCaller(std::move(caller)); });
      });
}

void DiscoveryStream::OnCaller(absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
  if (ended_) return;
  if (!caller.ok()) {
    return Fail(early_.empty() ? caller.status()
                               : NameFirstId(caller.status(), early_.front().names, hub_.trust_domain()));
  }
  caller_ = *std::move(caller);
  std::vector<DiscoveryAsk> early = std::exchange(early_, {});
  for (const DiscoveryAsk& ask : early) Uncharge(ChargeOf(ask));
  for (DiscoveryAsk& ask : early) {
    if (!ended_) HandleRequest(std::move(ask));
  }
  judged_long_ago_ = true;
}

void DiscoveryStream::HandleRequest(DiscoveryAsk ask) {
  const Subscription::Answer answer = TakeAnswer(ask);
  if (ended_) return;
  if (answer != Subscription::Answer::kStale || StaleNamesCount()) {
    ApplyNames(ask);
    if (ended_) return;
    if (const absl::Status size = subscription_.CheckSize(); !size.ok()) return Fail(size);
    if (FinishIfNothingLeft([&] { return FindRefusal(ask.names); })) return;
    TellWhatIsCarried();
  }
  Flush();
}

// A NACK has error_detail, and nothing else makes one.
Subscription::Answer DiscoveryStream::TakeAnswer(const DiscoveryAsk& ask) {
  const Subscription::Answer answer = subscription_.JudgeNonce(ask.nonce);
  if (answer != Subscription::Answer::kFresh) return answer;
  if (!ask.rejection.has_value()) {
    Acknowledge();
    return answer;
  }
  if (!subscription_.TakeRejection()) return answer;
  Uncharge(std::exchange(rejection_charge_, 0));
  if (!Charge(ask.rejection->size())) return answer;
  rejection_charge_ = ask.rejection->size();
  member_.Rejected(*ask.rejection);
  return answer;
}

void DiscoveryStream::Acknowledge() {
  const std::optional<Acknowledgement> held = subscription_.TakeAcknowledgement();
  if (!held.has_value()) return;
  member_.Acknowledged(*held);
  Uncharge(std::exchange(rejection_charge_, 0));  // the registry forgets the text
}

void DiscoveryStream::Subscribe(const std::string& name, bool again) {
  if (ended_) return;
  if (Subscription::Slot* const present = subscription_.Find(name); present != nullptr) {
    if (again) present->unsent = present->newest != nullptr;
    return;
  }
  if (subscription_.IsRefused(name)) {
    if (again) OnRefused(name);
    return;
  }
  absl::StatusOr<ResolvedName> resolved = ResolveName(name, *caller_, hub_.trust_domain(), hub_.entry_advice());
  if (!resolved.ok()) return Refuse(name);
  if (resolved->kind == SecretKind::kIdentity) return SubscribeToKey(*std::move(resolved));
  SubscribeToBundle(*std::move(resolved));
}

void DiscoveryStream::SubscribeToKey(ResolvedName name) {
  const SpiffeId id = name.id;
  // Charged before the key is asked for: making one costs more than the rest of the request.
  Subscription::Slot* const slot = AddSlot(std::move(name), kKeyCharge);
  if (slot != nullptr && Join(id)) HoldKey(*slot);
}

void DiscoveryStream::SubscribeToBundle(ResolvedName name) {
  bundles_ = hub_.bundles().StartWatching(Handle(), watch_);
  if (bundles_ == nullptr) return Fail(absl::UnavailableError("SDS: the CA is starting"));
  std::shared_ptr<const SecretSnapshot> newest = bundles_->Find(name);
  // Under a name that nobody else uses, a bundle and its response are kept for this stream alone.
  const size_t extra = bundles_->IsShared(*newest) ? 0 : 2 * newest->content()->body().size() + kSlotCharge;
  Subscription::Slot* const slot = AddSlot(std::move(name), extra);
  if (slot != nullptr && Join({})) slot->Offer(std::move(newest));
}

Subscription::Slot* DiscoveryStream::AddSlot(ResolvedName name, size_t extra_charge) {
  // The name stands in the slot, in its SPIFFE ID and in the snapshot.
  const size_t charge = kSlotCharge + 3 * name.name.size() + extra_charge;
  if (!Charge(charge)) return nullptr;
  return &subscription_.Add(std::move(name), charge);
}

void DiscoveryStream::HoldKey(Subscription::Slot& slot) {
  slot.lease_number = ++leases_;
  const std::string instance = hub_.callers().InstanceOf(*caller_, Taking::kStream, node_, slot.name.id).instance;
  SecretContent::Ptr current;
  slot.lease = hub_.keys().Hold(
      {instance, node_, caller_, judged_long_ago_}, slot.name.id,
      [handle = Handle(), number = slot.lease_number](const absl::StatusOr<SecretContent::Ptr>& content) {
        handle.Post([number, content](DiscoveryStream& self) { self.OnKey(number, content); });
      },
      &current);
  if (current != nullptr) slot.Offer(current->Named(slot.name.name));
}

void DiscoveryStream::Refuse(const std::string& name) {
  if (!Charge(Subscription::kRefusedCharge)) return;
  subscription_.Refuse(name);
  OnRefused(name);
}

bool DiscoveryStream::Charge(size_t bytes) {
  if (ended_) return false;
  if (const absl::Status held = stream_.HoldBytes(charge_ + bytes); !held.ok()) {
    Fail(WithReason(absl::ResourceExhaustedError(
                        absl::StrCat("SDS: ", held.message(), "; name fewer secrets, or open fewer streams")),
                    "TOO_MUCH_HELD"));
    return false;
  }
  charge_ += bytes;
  return true;
}

void DiscoveryStream::Uncharge(size_t bytes) {
  if (bytes == 0 || ended_) return;  // at its end the edge takes back all of it
  charge_ -= bytes;
  stream_.HoldBytes(charge_).IgnoreError();  // less always fits
}

bool DiscoveryStream::Join(const SpiffeId& asked) {
  if (member_) return true;
  absl::StatusOr<SubscriberRegistry::Member> member = hub_.registry().Join(
      hub_.callers().InstanceOf(*caller_, Taking::kStream, node_, asked), EndWhenEvicted(Handle()));
  if (!member.ok()) {
    Fail(member.status());
    return false;
  }
  member_ = *std::move(member);
  return true;
}

void DiscoveryStream::TellWhatIsCarried() {
  member_.Carries(subscription_.CarriesBundle(), subscription_.CarriesKey());
}

// The proxy is told why, and will ask again.
bool DiscoveryStream::FinishIfNothingLeft(absl::FunctionRef<absl::Status()> why) {
  const size_t refused = subscription_.refused();
  if (!subscription_.slots().empty() || refused == 0) return false;
  const absl::Status reason = why();
  Fail(refused == 1 ? reason
                    : Annotate(reason, absl::StrCat("SDS: none of ", refused, " secrets can be had; the first")));
  return true;
}

absl::Status DiscoveryStream::FindRefusal(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    const absl::StatusOr<ResolvedName> resolved = ResolveName(name, *caller_, hub_.trust_domain(), hub_.entry_advice());
    if (!resolved.ok()) return resolved.status();
  }
  return WithReason(
      absl::PermissionDeniedError("SDS: it was refused or withdrawn earlier on this stream; a new stream is told why"),
      "SPIFFE_ID_NOT_ALLOWED");
}

void DiscoveryStream::OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content) {
  if (ended_) return;
  if (Subscription::Slot* const slot = subscription_.FindLease(lease_number); slot != nullptr) {
    if (content.ok()) {
      slot->Offer((*content)->Named(slot->name.name));
    } else {
      OnNoKey(*slot, content.status());
    }
  }
  Flush();
}

void DiscoveryStream::OnNoKey(Subscription::Slot& slot, const absl::Status& why) {
  // The whole stream, whatever else it carries: its proxy asks anew and gets a new key where it may have one. A name
  // that is merely left out of the next response it would never ask for again.
  if (IsRevocation(why)) return Fail(why);
  if (IsFinalRefusal(why)) {
    const std::string name = slot.name.name;
    Unsubscribe(name);
    Refuse(name);
    if (ended_) return;
    TellWhatIsCarried();
    FinishIfNothingLeft([&] { return why; });
    return;
  }
  slot.may_wait = false;
  // Said rather than waited out while the proxy has nothing from us: it logs the reason and asks again.
  if (!subscription_.HasOrAwaitsAnything()) Fail(why);
}

void DiscoveryStream::OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) {
  if (ended_ || bundles_ == nullptr || bundles->version < bundles_->version) return;
  bundles_ = bundles;
  subscription_.OfferBundles(*bundles);
  Flush();
}

void DiscoveryStream::OnWritable() { Flush(); }

void DiscoveryStream::Flush() {
  if (ended_ || caller_ == nullptr) return;
  // Only a key can end; the clock is not asked for ten thousand streams that carry none.
  const absl::Time now = subscription_.CarriesKey() ? hub_.LikelyNow() : absl::InfinitePast();
  const Subscription::Next next = subscription_.ComposeNext(now);
  if (next.waits) return;
  if (next.due || HasMoreToTell()) {
    NumberedResponse response = MakeNextResponse(next.resources);
    if (!stream_.Send(std::move(response.payload))) return;  // OnWritable sends what is newest by then
    if (subscription_.last_nonce() == 0) member_.Sent();
    subscription_.MarkSent(next.resources, response.nonce);
    OnSent();
    for (const SecretSnapshot* const resource : next.resources) {
      const SecretContent& content = *resource->content();
      if (content.kind() == SecretKind::kIdentity) member_.SentCertificate(content.identity().not_after);
    }
  }
  if (half_closed_) {
    ended_ = true;
    stream_.Finish(absl::OkStatus());
  }
}

void DiscoveryStream::OnHalfClose() {
  half_closed_ = true;
  // A client that asks once and closes gets its answer first.
  if (!begun_ && !ended_) {
    ended_ = true;
    stream_.Finish(absl::OkStatus());
    return;
  }
  Flush();
}

void DiscoveryStream::Fail(const absl::Status& why) {
  if (std::exchange(ended_, true)) return;
  stream_.Finish(SdsEdgeStatus(why));
}

void DiscoveryStream::OnEvicted(const absl::Status& why) { Fail(why); }

void DiscoveryStream::OnClose(const absl::Status& why) {
  ended_ = true;
  watch_.End();
  // Reset by the client: it gave the subscription up. Anything else and the proxy still runs on what it had.
  member_.Leave(/*broken=*/!absl::IsCancelled(why));
}

}  // namespace meshca::sds
