#include "sds/discovery_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "sds/edge_status.h"

namespace meshca::sds {
namespace {

// Requests that may arrive before the caller is known.
constexpr size_t kEarlyMax = 16;

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
  for (DiscoveryAsk& ask : std::exchange(early_, {})) {
    if (!ended_) Handle(std::move(ask));
  }
}

void DiscoveryStream::Handle(DiscoveryAsk ask) {
  const Answer answer = TakeAnswer(ask);
  if (answer != Answer::kStale || StaleNamesCount()) {
    ApplyNames(ask);
    if (ended_) return;
    if (const absl::Status names = CheckNames(slots_.size(), name_bytes_); !names.ok()) return Fail(names);
    if (FinishIfNothingLeft()) return;
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
  if (any) member_.Rejected(*ask.rejection);
  return Answer::kFresh;
}

void DiscoveryStream::Acknowledge() {
  SubscriberRegistry::Evidence evidence;
  bool any = false;
  bool own_key = false;
  for (Slot& slot : slots_) {
    const std::shared_ptr<const SecretSnapshot> sent = std::exchange(slot.sent, nullptr);
    if (sent == nullptr) continue;
    const SecretContent::Ptr& content = sent->content();
    any = true;
    if (content->kind() != SecretKind::kIdentity) {
      // Of several bundles on a stream, the older counts.
      const uint64_t sequence = content->bundle_sequence();
      evidence.bundle_sequence =
          evidence.bundle_sequence == 0 ? sequence : std::min(evidence.bundle_sequence, sequence);
      if (evidence.serial.empty()) evidence.version_info = sent->version();
      continue;
    }
    // `default` speaks for a stream with several identities, else the first of them.
    if (own_key || (!evidence.serial.empty() && slot.name.name != kDefaultName)) continue;
    own_key = slot.name.name == kDefaultName;
    evidence.serial = content->identity().serial;
    evidence.authority_id = content->identity().authority_id;
    evidence.generation = content->identity().generation;
    evidence.version_info = sent->version();
  }
  if (any) member_.Acknowledged(evidence);
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
    if (again && present->denied.ok()) present->unsent = present->newest != nullptr;
    if (again && !present->denied.ok()) Removed(name);
    return;
  }
  Slot& slot = slots_.emplace_back();
  slot.name.name = name;
  name_bytes_ += name.size();
  absl::StatusOr<ResolvedName> resolved = ResolveName(name, *caller_, hub_.trust_domain());
  if (!resolved.ok()) return Deny(slot, resolved.status());
  slot.name = *std::move(resolved);
  if (slot.name.kind == SecretKind::kIdentity) {
    if (Join(slot.name.id)) Hold(slot);
    return;
  }
  bundles_ = hub_.Watch(*this, stream_.handle());
  if (bundles_ == nullptr) return Deny(slot, absl::UnavailableError("SDS: the CA is starting"));
  if (!Join({})) return;
  slot.newest = bundles_->Find(slot.name);
  slot.unsent = true;
}

void DiscoveryStream::Hold(Slot& slot) {
  slot.lease_number = ++leases_;
  SecretContent::Ptr current;
  slot.lease = hub_.keys().Hold(
      {hub_.InstanceOf(*caller_, Taking::kStream, node_, slot.name.id).instance, node_, caller_}, slot.name.id,
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

void DiscoveryStream::Deny(Slot& slot, absl::Status why) {
  slot.denied = std::move(why);
  slot.newest = nullptr;
  slot.unsent = false;
  slot.sent = nullptr;
  slot.lease.Release();
  Removed(slot.name.name);
}

void DiscoveryStream::Removed(const std::string& name) {
  if (auto* const gone = removed(); gone != nullptr) gone->insert(name);
}

void DiscoveryStream::Unsubscribe(const std::string& name) {
  Slot* const slot = Find(name);
  if (slot == nullptr) return;
  if (auto* const gone = removed(); gone != nullptr) gone->erase(name);
  name_bytes_ -= name.size();
  slots_.erase(slots_.begin() + (slot - slots_.data()));
}

bool DiscoveryStream::Join(const SpiffeId& asked) {
  if (member_) return true;
  absl::StatusOr<SubscriberRegistry::Member> member =
      hub_.registry().Join(hub_.InstanceOf(*caller_, Taking::kStream, node_, asked), stream_.handle());
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
    if (!slot.denied.ok()) continue;
    (slot.name.kind == SecretKind::kIdentity ? key : bundle) = true;
  }
  member_.Carries(bundle, key);
}

// Nothing of what is asked for can be had: the proxy is told why, and will ask again.
bool DiscoveryStream::FinishIfNothingLeft() {
  if (slots_.empty()) return false;
  for (const Slot& slot : slots_) {
    if (slot.denied.ok()) return false;
  }
  absl::Status why = slots_.front().denied;
  if (slots_.size() > 1)
    why = Annotate(why, absl::StrCat("SDS: none of ", slots_.size(), " secrets can be had; the first"));
  Fail(why);
  return true;
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
      Deny(slot, content.status());
      Count();
      if (FinishIfNothingLeft()) return;
    } else {
      slot.may_wait = false;
      // Said rather than waited out while the proxy has nothing from us: it logs the reason and asks again.
      const bool anything = last_nonce_ != 0 || std::any_of(slots_.begin(), slots_.end(), [](const Slot& other) {
                              return other.newest != nullptr || (other.denied.ok() && other.may_wait);
                            });
      if (!anything) return Fail(content.status());
    }
    break;
  }
  Flush();
}

void DiscoveryStream::OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) {
  if (ended_ || bundles_ == nullptr || bundles->revision < bundles_->revision) return;
  bundles_ = bundles;
  for (Slot& slot : slots_) {
    if (slot.name.kind == SecretKind::kIdentity || !slot.denied.ok()) continue;
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
    if (last_nonce_ == 0 && slot.denied.ok() && slot.newest == nullptr && slot.may_wait) return;
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
    if (some_gone) gone->clear();
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
  stream_.Finish(EdgeStatus(why));
}

void DiscoveryStream::OnEvicted(const absl::Status& why) { Fail(why); }

void DiscoveryStream::OnClose(const absl::Status& why) {
  ended_ = true;
  hub_.Unwatch(*this);
  // Reset by the client: it gave the subscription up. Anything else and the proxy still runs on what it had.
  member_.Leave(/*broken=*/!absl::IsCancelled(why));
  slots_.clear();
}

}  // namespace meshca::sds
