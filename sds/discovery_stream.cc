#include "sds/discovery_stream.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/edge/edge_status.h"

namespace meshca::sds {
namespace {

// Requests that may arrive before the caller is known.
constexpr size_t kEarlyMax = 16;

// About what each of these costs besides the bytes of its name, growth of the containers included.
constexpr size_t kEarlyNameCharge = 48;
constexpr size_t kEarlyAskCharge = 512;
constexpr size_t kSlotCharge = 512;
constexpr size_t kDeniedCharge = 32;
constexpr size_t kRemovedCharge = 96;
// A private key and its chain, as the key ring, the stream and the registry keep them.
constexpr size_t kKeyCharge = 4096;

uint64_t HashOf(absl::string_view name) { return absl::Hash<absl::string_view>{}(name); }

size_t ChargeOf(const DiscoveryAsk& ask) {
  return kEarlyAskCharge + ask.NameBytes() + kEarlyNameCharge * (ask.names.size() + ask.unsubscribe.size()) +
         ask.rejection.value_or("").size();
}

}  // namespace

DiscoveryStream::DiscoveryStream(rpc::Stream& stream, SecretHub& hub, Protocol protocol)
    : stream_(stream), hub_(hub), protocol_(protocol) {}

void DiscoveryStream::OnMessage(absl::string_view message) {
  if (ended_ || TakeBareAck(message)) return;
  absl::StatusOr<DiscoveryAsk> ask = Read(message);
  if (!ask.ok()) return Fail(ask.status());
  if (caller_ != nullptr) return Handle(*std::move(ask));
  early_bytes_ += ask->NameBytes();
  if (early_.size() >= kEarlyMax || early_bytes_ > kNamesBytesMax) {
    return Fail(WithReason(absl::ResourceExhaustedError("SDS: too many requests before the first answer"),
                           "TOO_MANY_REQUESTS"));
  }
  const size_t charge = ChargeOf(*ask);
  if (!Charge(charge)) return;
  early_charge_ += charge;
  early_.push_back(*std::move(ask));
  if (begun_) return;
  begun_ = true;
  node_ = std::move(early_.front().node_id);
  hub_.Authenticate(stream_.peer(), node_,
                    [handle = stream_.handle()](absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
                      handle.Post([caller = std::move(caller)](rpc::StreamHandler& self) mutable {
                        static_cast<DiscoveryStream&>(self).OnCaller(std::move(caller));
                      });
                    });
}

bool DiscoveryStream::TakeBareAck(absl::string_view message) {
  if (last_nonce_ == 0) return false;
  // Of the names that were refused only the hashes are here: what a request says of them is read in full.
  if (protocol_ == Protocol::kStateOfTheWorld && !denied_.empty()) return false;
  absl::InlinedVector<absl::string_view, 4> names;
  for (const Slot& slot : slots_) names.push_back(slot.name.name);
  if (!IsBareAck(protocol_, message, absl::AlphaNum(last_nonce_).Piece(), names)) return false;
  Acknowledge();
  Flush();
  return true;
}

void DiscoveryStream::OnCaller(absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
  if (ended_) return;
  if (!caller.ok()) {
    return Fail(early_.empty() ? caller.status()
                               : NameFirstId(caller.status(), early_.front().names, hub_.trust_domain()));
  }
  caller_ = *std::move(caller);
  Uncharge(std::exchange(early_charge_, 0));
  for (DiscoveryAsk& ask : std::exchange(early_, {})) {
    if (!ended_) Handle(std::move(ask));
  }
  judged_long_ago_ = true;
}

void DiscoveryStream::Handle(DiscoveryAsk ask) {
  const Answer answer = TakeAnswer(ask);
  if (ended_) return;
  if (answer != Answer::kStale || StaleNamesCount()) {
    ApplyNames(ask);
    if (ended_) return;
    const absl::Status names = CheckNames(slots_.size() + denied_.size(), name_bytes_);
    if (!names.ok()) return Fail(names);
    if (FinishIfNothingLeft([&] { return WhyNot(ask.names); })) return;
    Count();
  }
  Flush();
}

// Whether `ask` answers the last response; a NACK has error_detail, and nothing else makes one.
DiscoveryStream::Answer DiscoveryStream::TakeAnswer(const DiscoveryAsk& ask) {
  // The first request of a stream may carry the nonce of a stream before it.
  if (ask.nonce.empty() || last_nonce_ == 0) return Answer::kNone;
  if (ask.nonce != absl::StrCat(last_nonce_)) return Answer::kStale;
  if (!ask.rejection.has_value()) {
    Acknowledge();
    return Answer::kFresh;
  }
  bool any = false;
  for (Slot& slot : slots_) any |= std::exchange(slot.sent, nullptr) != nullptr;
  if (!any) return Answer::kFresh;
  Uncharge(std::exchange(rejection_charge_, 0));
  if (!Charge(ask.rejection->size())) return Answer::kStale;
  rejection_charge_ = ask.rejection->size();
  member_.Rejected(*ask.rejection);
  return Answer::kFresh;
}

void DiscoveryStream::Acknowledge() {
  Acknowledgement held;
  bool any = false;
  bool own_key = false;
  for (Slot& slot : slots_) {
    const std::shared_ptr<const SecretSnapshot> sent = std::exchange(slot.sent, nullptr);
    if (sent == nullptr) continue;
    const SecretContent::Ptr& content = sent->content();
    any = true;
    if (content->kind() != SecretKind::kIdentity) {
      // Of several bundles on a stream, the older counts.
      const TrustVersion version = content->trust_version();
      held.trust_version = held.trust_version == 0 ? version : std::min(held.trust_version, version);
      if (held.serial.empty()) held.version_info = sent->version();
      continue;
    }
    // `default` speaks for a stream with several identities, else the first of them.
    if (own_key || (!held.serial.empty() && slot.name.name != kDefaultName)) continue;
    own_key = slot.name.name == kDefaultName;
    held.serial = content->identity().serial;
    held.authority_id = content->identity().authority_id;
    held.generation = content->identity().generation;
    held.version_info = sent->version();
  }
  if (!any) return;
  member_.Acknowledged(held);
  Uncharge(std::exchange(rejection_charge_, 0));  // the registry forgets the text
}

DiscoveryStream::Slot* DiscoveryStream::Find(absl::string_view name) {
  for (Slot& slot : slots_) {
    if (slot.name.name == name) return &slot;
  }
  return nullptr;
}

void DiscoveryStream::Subscribe(const std::string& name, bool again) {
  if (ended_) return;
  if (Slot* const present = Find(name); present != nullptr) {
    if (again) present->unsent = present->newest != nullptr;
    return;
  }
  if (FindDenied(name) < denied_.size()) {
    if (again) Removed(name);
    return;
  }
  absl::StatusOr<ResolvedName> resolved = ResolveName(name, *caller_, hub_.trust_domain());
  if (!resolved.ok()) return Deny(name);
  if (resolved->kind == SecretKind::kIdentity) return SubscribeToKey(*std::move(resolved));
  SubscribeToBundle(*std::move(resolved));
}

void DiscoveryStream::SubscribeToKey(ResolvedName name) {
  const SpiffeId id = name.id;
  // Charged before the key is asked for: making one costs more than the rest of the request.
  Slot* const slot = AddSlot(std::move(name), kKeyCharge);
  if (slot != nullptr && Join(id)) Hold(*slot);
}

void DiscoveryStream::SubscribeToBundle(ResolvedName name) {
  bundles_ = hub_.Watch(*this, stream_.handle());
  if (bundles_ == nullptr) return Fail(absl::UnavailableError("SDS: the CA is starting"));
  std::shared_ptr<const SecretSnapshot> newest = bundles_->Find(name);
  // Under a name that nobody else uses, a bundle and its response are kept for this stream alone.
  const size_t extra = bundles_->IsShared(*newest) ? 0 : 2 * newest->content()->body().size() + kSlotCharge;
  Slot* const slot = AddSlot(std::move(name), extra);
  if (slot == nullptr || !Join({})) return;
  slot->newest = std::move(newest);
  slot->unsent = true;
}

DiscoveryStream::Slot* DiscoveryStream::AddSlot(ResolvedName name, size_t extra_charge) {
  // The name stands in the slot, in its SPIFFE ID and in the snapshot.
  const size_t charge = kSlotCharge + 3 * name.name.size() + extra_charge;
  if (!Charge(charge)) return nullptr;
  name_bytes_ += name.name.size();
  Slot& slot = slots_.emplace_back();
  slot.name = std::move(name);
  slot.charge = charge;
  return &slot;
}

void DiscoveryStream::EraseSlot(Slot& slot) {
  Uncharge(slot.charge);
  name_bytes_ -= slot.name.name.size();
  slots_.erase(slots_.begin() + (&slot - slots_.data()));
}

void DiscoveryStream::Hold(Slot& slot) {
  slot.lease_number = ++leases_;
  SecretContent::Ptr current;
  slot.lease = hub_.keys().Hold(
      {hub_.InstanceOf(*caller_, Taking::kStream, node_, slot.name.id).instance, node_, caller_, judged_long_ago_},
      slot.name.id,
      [handle = stream_.handle(), number = slot.lease_number](const absl::StatusOr<SecretContent::Ptr>& content) {
        handle.Post([number, content](rpc::StreamHandler& self) {
          static_cast<DiscoveryStream&>(self).OnKey(number, content);
        });
      },
      &current);
  if (current == nullptr) return;
  slot.newest = current->Named(slot.name.name);
  slot.unsent = true;
}

void DiscoveryStream::Deny(const std::string& name) {
  if (!Charge(kDeniedCharge)) return;
  name_bytes_ += name.size();
  denied_.push_back({HashOf(name), name.size()});
  Removed(name);
}

size_t DiscoveryStream::FindDenied(absl::string_view name) const {
  const uint64_t hash = HashOf(name);
  size_t index = 0;
  while (index < denied_.size() && (denied_[index].hash != hash || denied_[index].bytes != name.size())) ++index;
  return index;
}

void DiscoveryStream::EraseDenied(size_t index) {
  Uncharge(kDeniedCharge);
  name_bytes_ -= denied_[index].bytes;
  denied_[index] = denied_.back();
  denied_.pop_back();
}

bool DiscoveryStream::Charge(size_t bytes) {
  if (ended_) return false;
  if (!stream_.HoldBytes(charge_ + bytes)) {
    Fail(WithReason(absl::ResourceExhaustedError(
                        "SDS: the streams of this caller, or of all callers, hold too much memory: name fewer secrets, "
                        "or open fewer streams (limits.buffered_mib_max)"),
                    "TOO_MUCH_HELD"));
    return false;
  }
  charge_ += bytes;
  return true;
}

void DiscoveryStream::Uncharge(size_t bytes) {
  if (bytes == 0 || ended_) return;  // at its end the edge takes back all of it
  charge_ -= bytes;
  stream_.HoldBytes(charge_);
}

void DiscoveryStream::Removed(const std::string& name) {
  auto* const gone = removed();
  if (gone == nullptr || gone->find(name) != gone->end() || !Charge(kRemovedCharge + name.size())) return;
  removed_charge_ += kRemovedCharge + name.size();
  gone->insert(name);
}

void DiscoveryStream::ForgetRemoved() {
  removed()->clear();
  Uncharge(std::exchange(removed_charge_, 0));
}

void DiscoveryStream::Unsubscribe(const std::string& name) {
  if (auto* const gone = removed(); gone != nullptr && gone->erase(name) > 0) {
    removed_charge_ -= kRemovedCharge + name.size();
    Uncharge(kRemovedCharge + name.size());
  }
  if (Slot* const slot = Find(name); slot != nullptr) return EraseSlot(*slot);
  if (const size_t denied = FindDenied(name); denied < denied_.size()) EraseDenied(denied);
}

void DiscoveryStream::UnsubscribeOthers(const std::vector<std::string>& names) {
  for (size_t i = slots_.size(); i-- > 0;) {
    if (std::find(names.begin(), names.end(), slots_[i].name.name) == names.end()) EraseSlot(slots_[i]);
  }
  if (denied_.empty()) return;
  absl::flat_hash_set<uint64_t> kept;
  for (const std::string& name : names) kept.insert(HashOf(name));
  for (size_t i = denied_.size(); i-- > 0;) {
    if (!kept.contains(denied_[i].hash)) EraseDenied(i);
  }
}

bool DiscoveryStream::Join(const SpiffeId& asked) {
  if (member_) return true;
  absl::StatusOr<SubscriberRegistry::Member> member =
      hub_.registry().Join(hub_.InstanceOf(*caller_, Taking::kStream, node_, asked), EndWhenEvicted(stream_.handle()));
  if (!member.ok()) {
    Fail(member.status());
    return false;
  }
  member_ = *std::move(member);
  return true;
}

// What is carried decides what the stream is evidence for.
void DiscoveryStream::Count() {
  bool bundle = false, key = false;
  for (const Slot& slot : slots_) {
    (slot.name.kind == SecretKind::kIdentity ? key : bundle) = true;
  }
  member_.Carries(bundle, key);
}

// The proxy is told why, and will ask again.
bool DiscoveryStream::FinishIfNothingLeft(absl::FunctionRef<absl::Status()> why) {
  if (!slots_.empty() || denied_.empty()) return false;
  const absl::Status reason = why();
  Fail(denied_.size() == 1
           ? reason
           : Annotate(reason, absl::StrCat("SDS: none of ", denied_.size(), " secrets can be had; the first")));
  return true;
}

absl::Status DiscoveryStream::WhyNot(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    const absl::StatusOr<ResolvedName> resolved = ResolveName(name, *caller_, hub_.trust_domain());
    if (!resolved.ok()) return resolved.status();
  }
  return WithReason(
      absl::PermissionDeniedError("SDS: it was refused or withdrawn earlier on this stream; a new stream is told why"),
      "SPIFFE_ID_NOT_ALLOWED");
}

void DiscoveryStream::OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content) {
  if (ended_) return;
  for (Slot& slot : slots_) {
    if (slot.lease_number != lease_number) continue;
    if (content.ok()) {
      slot.newest = (*content)->Named(slot.name.name);
      slot.unsent = true;
    } else if (IsRevocation(content.status())) {
      // The whole stream, whatever else it carries: its proxy asks anew and gets a new key where it may have one. A
      // name that is merely left out of the next response it would never ask for again.
      return Fail(content.status());
    } else if (absl::IsPermissionDenied(content.status()) || absl::IsUnauthenticated(content.status()) ||
               absl::IsInvalidArgument(content.status())) {
      const std::string name = slot.name.name;
      EraseSlot(slot);
      Deny(name);
      if (ended_) return;
      Count();
      if (FinishIfNothingLeft([&] { return content.status(); })) return;
    } else {
      slot.may_wait = false;
      // Said rather than waited out while the proxy has nothing from us: it logs the reason and asks again.
      const bool anything = last_nonce_ != 0 || std::any_of(slots_.begin(), slots_.end(), [](const Slot& other) {
                              return other.newest != nullptr || other.may_wait;
                            });
      if (!anything) return Fail(content.status());
    }
    break;
  }
  Flush();
}

void DiscoveryStream::OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) {
  if (ended_ || bundles_ == nullptr || bundles->version < bundles_->version) return;
  bundles_ = bundles;
  for (Slot& slot : slots_) {
    if (slot.name.kind == SecretKind::kIdentity) continue;
    std::shared_ptr<const SecretSnapshot> newest = bundles->Find(slot.name);
    if (newest == slot.newest) continue;
    slot.newest = std::move(newest);
    slot.unsent = true;
  }
  Flush();
}

void DiscoveryStream::OnWritable() { Flush(); }

void DiscoveryStream::Flush() {
  if (ended_ || caller_ == nullptr) return;
  bool due = false;
  absl::InlinedVector<const SecretSnapshot*, 2> resources;
  for (Slot& slot : slots_) {
    // The first response waits until it is whole.
    if (last_nonce_ == 0 && slot.newest == nullptr && slot.may_wait) return;
    // What ended while a slow proxy did not read is not sent: the key ring is at work on the next.
    if (slot.newest == nullptr) continue;
    if (slot.name.kind == SecretKind::kIdentity && slot.newest->content()->ExpiredAt(hub_.LikelyNow())) continue;
    if (!slot.unsent && slot.sent == nullptr) continue;
    due |= slot.unsent;
    resources.push_back(slot.newest.get());
  }
  auto* const gone = removed();
  const bool some_gone = gone != nullptr && !gone->empty();
  if (due || some_gone) {
    NumberedResponse response;
    if (resources.size() == 1 && !some_gone) response = resources.front()->Alone(protocol_);
    if (response.nonce <= last_nonce_) {
      std::vector<std::string> names;
      if (some_gone) names.assign(gone->begin(), gone->end());
      response = MakeResponse(protocol_, resources, names);
    }
    if (!stream_.Send(std::move(response.payload))) return;  // OnWritable sends what is newest by then
    if (last_nonce_ == 0) member_.Sent();
    last_nonce_ = response.nonce;
    if (some_gone) ForgetRemoved();
    for (Slot& slot : slots_) {
      const bool included = std::find(resources.begin(), resources.end(), slot.newest.get()) != resources.end();
      if (!included || slot.newest == nullptr) continue;
      slot.unsent = false;
      slot.sent = slot.newest;
      if (slot.name.kind != SecretKind::kIdentity) continue;
      member_.SentCertificate(slot.sent->content()->identity().not_after);
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
  hub_.Unwatch(*this);
  // Reset by the client: it gave the subscription up. Anything else and the proxy still runs on what it had.
  member_.Leave(/*broken=*/!absl::IsCancelled(why));
  slots_.clear();
  early_.clear();
}

}  // namespace meshca::sds
