#include "sds/workload_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authn/unix_peer.h"
#include "ca/base/status.h"
#include "ca/edge/edge_status.h"
#include "sds/svid_source.h"
#include "sds/workload_request.h"

namespace meshca::sds {
namespace {

// About what a stream costs beside its keys: itself, its place among the watchers, what the registry keeps of it.
constexpr size_t kStreamCharge = 2048;
// A private key and its chain, as the key ring and the registry keep them.
constexpr size_t kWorkloadKeyCharge = 4096;

// A client takes InvalidArgument for its own mistake and never comes back, whatever becomes of the rules that refused
// its identity; Unauthenticated is not in the standard.
absl::Status AsDenied(const absl::Status& refusal) {
  return WithReason(absl::PermissionDeniedError(refusal.message()), ReasonOf(refusal));
}

// The caller may be judged again later, and has what it has until then.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsInternal(status);
}

}  // namespace

absl::Status CheckHasIdentities(const SdsCaller& caller, const TrustDomain& own, const EntryAdvice& advice) {
  const size_t count = caller.identity.ids.size();
  if (count == 0) {
    const auto& process = caller.peer->unix_credentials;
    if (process.has_value()) return EntryMissing(own, advice, process->uid);
    return WithReason(absl::PermissionDeniedError("Workload API: it is served on a Unix socket"), "NOT_A_UNIX_SOCKET");
  }
  if (count <= kWorkloadSvidsMax) return absl::OkStatus();
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat("Workload API: ", count, " identities fit this process; at most ",
                                                kWorkloadSvidsMax, " are served: give their entries more selectors")),
      "TOO_MANY_IDENTITIES");
}

void WorkloadStream::OnMessage(absl::string_view message) {
  if (ended_) return;
  if (std::exchange(begun_, true)) {
    return Fail(absl::InvalidArgumentError("Workload API: a call has one request"));
  }
  if (const absl::Status read = ReadPlainRequest(message); !read.ok()) return Fail(read);
  if (!Charge(kStreamCharge)) return;
  // Before the caller is judged: of entries that change from now on the stream hears.
  bundles_ = hub_.bundles().StartWatching(Handle(), watch_);
  if (bundles_ == nullptr) {
    return Fail(
        WithReason(absl::UnavailableError("Workload API: the CA is starting; try again in a moment"), "STARTING"));
  }
  Judge();
}

void WorkloadStream::Judge() {
  judging_ = true;
  hub_.callers().Authenticate(
      stream_.peer(), "", [handle = Handle()](absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
        handle.Post(
            [caller = std::move(caller)](WorkloadStream& self) mutable { self.TakeJudgement(std::move(caller)); });
      });
}

void WorkloadStream::TakeJudgement(absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
  if (ended_) return;
  judging_ = false;
  unjudged_ = false;
  if (caller.ok()) {
    caller_ = *std::move(caller);
    if (const absl::Status entitled = CheckEntitled(*caller_); !entitled.ok()) return Fail(entitled);
    if (!Join()) return;  // before a key is made
    OnJudged(*caller_);
    Flush();
  } else if (caller_ == nullptr || !IsPassing(caller.status())) {
    return Fail(caller.status());
  } else {
    unjudged_ = true;
    hub_.bundles().JudgeLater();
  }
  if (!ended_ && std::exchange(judge_again_, false)) Judge();
}

bool WorkloadStream::Join() {
  if (member_) return true;
  const rpc::TypedStreamHandle<WorkloadStream> handle = Handle();
  absl::StatusOr<SubscriberRegistry::Member> member =
      hub_.registry().Join(hub_.callers().InstanceOf(*caller_, taking_, "", {}), EndWhenEvicted(handle),
                           [handle] { handle.Post([](WorkloadStream& self) { self.OnDeliveryDue(); }); });
  if (!member.ok()) {
    Fail(member.status());
    return false;
  }
  member_ = *std::move(member);
  member_.Carries(carried_);
  return true;
}

void WorkloadStream::OnEntriesChanged() {
  if (ended_ || !begun_) return;
  if (judging_) {
    judge_again_ = true;
  } else {
    Judge();
  }
}

void WorkloadStream::OnJudgeAgain() {
  if (!ended_ && unjudged_ && !judging_) Judge();
}

void WorkloadStream::OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) {
  if (ended_ || bundles_ == nullptr || bundles->version < bundles_->version) return;
  bundles_ = bundles;
  Changed();
}

void WorkloadStream::Changed() {
  changed_ = true;
  Flush();
}

void WorkloadStream::Flush() {
  if (ended_ || !changed_ || !member_) return;
  absl::StatusOr<std::optional<WorkloadMessage>> message = Compose();
  if (!message.ok()) return Fail(message.status());
  if (!message->has_value()) return;
  if (!stream_.Send(std::move((*message)->payload))) return;  // OnWritable sends what is newest by then
  changed_ = false;
  sent_something_ = true;
  member_.SentCertificate((*message)->certificate_ends);
  member_.Wrote(std::move((*message)->holds));
}

void WorkloadStream::OnDeliveryDue() {
  if (ended_) return;
  if (stream_.queued_messages() == 0) return member_.Delivered();
  Fail(WithReason(absl::UnavailableError("Workload API: the client has not read what was sent to it; call again"),
                  "NOT_READ"));
}

void WorkloadStream::OnHalfClose() {
  // The client has said all that it has to say. The stream goes on.
  if (!begun_) Fail(absl::InvalidArgumentError("Workload API: the call has no request"));
}

bool WorkloadStream::Charge(size_t bytes) {
  if (const absl::Status held = stream_.HoldBytes(charge_ + bytes); !held.ok()) {
    Fail(WithReason(Annotate(held, "Workload API"), "TOO_MUCH_HELD"));
    return false;
  }
  charge_ += bytes;
  return true;
}

void WorkloadStream::Uncharge(size_t bytes) {
  if (bytes == 0 || ended_) return;  // at its end the edge takes back all of it
  charge_ -= bytes;
  stream_.HoldBytes(charge_).IgnoreError();  // less always fits
}

void WorkloadStream::Fail(const absl::Status& why) {
  if (std::exchange(ended_, true)) return;
  OnEnded();
  stream_.Finish(SdsEdgeStatus(why, "Workload API"));
}

void WorkloadStream::OnEvicted(const absl::Status& why) {
  Fail(WithReason(absl::UnavailableError("Workload API: an operator evicted this subscriber: call again"),
                  ReasonOf(why)));
}

void WorkloadStream::OnClose(const absl::Status& why) {
  ended_ = true;
  watch_.End();
  // Clients that take one message and go, again and again, never have a stream that stays open: they hold what they
  // took.
  if (absl::IsCancelled(why) && stream_.queued_messages() == 0) member_.DeliveredAll();
  member_.Leave(/*broken=*/!absl::IsCancelled(why));
}

// ---- FetchX509SVID

absl::Status X509SvidStream::CheckEntitled(const SdsCaller& caller) const {
  return CheckHasIdentities(caller, hub().trust_domain(), hub().entry_advice());
}

void X509SvidStream::OnJudged(const SdsCaller& caller) {
  const CallerIdentity& identity = caller.identity;
  absl::InlinedVector<Slot, 1> before = std::exchange(slots_, {});
  UniqueHints hints;
  bool changed = before.size() != identity.ids.size();
  for (const SpiffeId& id : identity.ids) {
    const std::string hint(hints.Take(identity.HintOf(id)));
    const auto found = std::find_if(before.begin(), before.end(), [&](const Slot& slot) { return slot.id == id; });
    if (found != before.end()) {
      changed |= found->hint != hint || static_cast<size_t>(found - before.begin()) != slots_.size();
      Slot& slot = slots_.emplace_back(std::move(*found));
      slot.hint = hint;
      continue;
    }
    changed = true;
    Slot slot;
    slot.id = id;
    slot.hint = hint;
    slots_.push_back(std::move(slot));
    if (!HoldKey(slots_.back())) return;
  }
  // What the caller may have no more: those that were not moved.
  for (const Slot& slot : before) {
    if (slot.lease) Uncharge(slot.charge);
  }
  before.clear();
  if (changed) Changed();
}

bool X509SvidStream::HoldKey(Slot& slot) {
  // Charged before the key is asked for: making one costs more than the rest of the request.
  const size_t charge = kWorkloadKeyCharge + sizeof(Slot) + 2 * slot.id.uri().size() + slot.hint.size();
  if (!Charge(charge)) return false;
  slot.charge = charge;
  slot.lease_number = ++leases_;
  slot.lease = hub().keys().Hold(
      {InstanceName(), "", caller()}, slot.id,
      [handle = rpc::TypedStreamHandle<X509SvidStream>(stream(), *this),
       number = slot.lease_number](const absl::StatusOr<SecretContent::Ptr>& content) {
        handle.Post([number, content](X509SvidStream& self) { self.OnKey(number, content); });
      },
      &slot.newest);
  return true;
}

void X509SvidStream::OnKey(uint64_t lease_number, const absl::StatusOr<SecretContent::Ptr>& content) {
  if (ended()) return;
  const auto slot = std::find_if(slots_.begin(), slots_.end(),
                                 [lease_number](const Slot& one) { return one.lease_number == lease_number; });
  if (slot == slots_.end()) return;
  if (!content.ok()) return OnNoKey(*slot, content.status());
  slot->newest = *content;
  Changed();
}

void X509SvidStream::OnNoKey(Slot& slot, const absl::Status& why) {
  // The client asks anew and gets a new key where it may have one.
  if (IsRevocation(why)) return Fail(AsDenied(why));
  if (IsFinalRefusal(why)) {
    Uncharge(slot.charge);
    slots_.erase(slots_.begin() + (&slot - slots_.data()));
    if (slots_.empty()) return Fail(AsDenied(why));
    return Changed();
  }
  slot.may_wait = false;
  // Said rather than waited out while the client has nothing from us: it logs the reason and asks again.
  if (&slot == slots_.data() && !sent_something()) return Fail(why);
  Changed();
}

absl::StatusOr<std::optional<WorkloadMessage>> X509SvidStream::Compose() {
  const absl::Time now = hub().LikelyNow();
  std::vector<WorkloadSvid> svids;
  WorkloadMessage message;
  message.holds.trust_version = bundles().version;
  for (const Slot& slot : slots_) {
    if (slot.newest == nullptr || slot.newest->ExpiredAt(now)) {
      const bool is_default = &slot == slots_.data();
      if (is_default || (slot.may_wait && !sent_something())) return std::nullopt;
      continue;
    }
    svids.push_back({slot.newest, slot.hint});
    const SecretContent::Identity& identity = slot.newest->identity();
    message.certificate_ends = std::max(message.certificate_ends, identity.not_after);
    // Of several keys the oldest counts: a rotation waits until each was replaced.
    if (!message.holds.serial.empty() && message.holds.generation <= identity.generation) continue;
    message.holds.generation = identity.generation;
    message.holds.serial = identity.serial;
    message.holds.authority_id = identity.authority_id;
  }
  message.payload = responses_.X509Svids(svids, bundles().workload);
  return message;
}

// ---- Bundles

absl::StatusOr<std::optional<WorkloadMessage>> WorkloadBundleStream::Compose() {
  const WorkloadBundles& made = bundles().workload;
  WorkloadMessage message;
  message.holds.trust_version = made.version;
  if (kind_ == Kind::kX509) {
    message.payload = made.x509;
    return message;
  }
  MESHCA_ASSIGN_OR_RETURN(message.payload, made.jwt);
  return message;
}

}  // namespace meshca::sds
