#include "sds/subscription.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "sds/discovery_request.h"

namespace meshca::sds {
namespace {

uint64_t HashOf(absl::string_view name) { return absl::Hash<absl::string_view>{}(name); }

}  // namespace

Subscription::Slot* Subscription::Find(absl::string_view name) {
  for (Slot& slot : slots_) {
    if (slot.name.name == name) return &slot;
  }
  return nullptr;
}

Subscription::Slot* Subscription::FindLease(uint64_t lease_number) {
  for (Slot& slot : slots_) {
    if (slot.lease_number == lease_number) return &slot;
  }
  return nullptr;
}

Subscription::Slot& Subscription::Add(ResolvedName name, size_t charge) {
  name_bytes_ += name.name.size();
  Slot& slot = slots_.emplace_back();
  slot.name = std::move(name);
  slot.charge = charge;
  return slot;
}

void Subscription::Refuse(absl::string_view name) {
  name_bytes_ += name.size();
  refused_.push_back({HashOf(name), name.size()});
}

size_t Subscription::FindRefused(absl::string_view name) const {
  const uint64_t hash = HashOf(name);
  size_t index = 0;
  while (index < refused_.size() && (refused_[index].hash != hash || refused_[index].bytes != name.size())) ++index;
  return index;
}

size_t Subscription::EraseSlot(size_t index) {
  const size_t charge = slots_[index].charge;
  name_bytes_ -= slots_[index].name.name.size();
  slots_.erase(slots_.begin() + index);
  return charge;
}

size_t Subscription::EraseRefused(size_t index) {
  name_bytes_ -= refused_[index].bytes;
  refused_[index] = refused_.back();
  refused_.pop_back();
  return kRefusedCharge;
}

size_t Subscription::Erase(absl::string_view name) {
  if (const Slot* const slot = Find(name); slot != nullptr) return EraseSlot(slot - slots_.data());
  const size_t refused = FindRefused(name);
  return refused < refused_.size() ? EraseRefused(refused) : 0;
}

size_t Subscription::EraseOthers(const std::vector<std::string>& names) {
  size_t charge = 0;
  for (size_t i = slots_.size(); i-- > 0;) {
    if (std::find(names.begin(), names.end(), slots_[i].name.name) == names.end()) charge += EraseSlot(i);
  }
  if (refused_.empty()) return charge;
  absl::flat_hash_set<uint64_t> kept;
  for (const std::string& name : names) kept.insert(HashOf(name));
  for (size_t i = refused_.size(); i-- > 0;) {
    if (!kept.contains(refused_[i].hash)) charge += EraseRefused(i);
  }
  return charge;
}

absl::Status Subscription::CheckSize() const { return CheckNames(slots_.size() + refused_.size(), name_bytes_); }

bool Subscription::CarriesBundle() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.name.kind != SecretKind::kIdentity; });
}

bool Subscription::CarriesKey() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.name.kind == SecretKind::kIdentity; });
}

Subscription::Next Subscription::ComposeNext(absl::Time now) const {
  Next next;
  for (const Slot& slot : slots_) {
    if (slot.newest == nullptr) {
      next.waits |= last_nonce_ == 0 && slot.may_wait;
      continue;
    }
    if (slot.newest->content()->ExpiredAt(now)) continue;
    if (!slot.unsent && slot.sent == nullptr) continue;
    next.due |= slot.unsent;
    next.resources.push_back(slot.newest.get());
  }
  return next;
}

void Subscription::MarkSent(const Resources& resources, uint64_t nonce) {
  last_nonce_ = nonce;
  for (Slot& slot : slots_) {
    if (slot.newest == nullptr) continue;
    if (std::find(resources.begin(), resources.end(), slot.newest.get()) == resources.end()) continue;
    slot.unsent = false;
    slot.sent = slot.newest;
  }
}

void Subscription::OfferBundles(const BundleSecrets& bundles) {
  for (Slot& slot : slots_) {
    if (slot.name.kind == SecretKind::kIdentity) continue;
    std::shared_ptr<const SecretSnapshot> newest = bundles.Find(slot.name);
    if (newest != slot.newest) slot.Offer(std::move(newest));
  }
}

bool Subscription::HasOrAwaitsAnything() const {
  return last_nonce_ != 0 || std::any_of(slots_.begin(), slots_.end(),
                                         [](const Slot& slot) { return slot.newest != nullptr || slot.may_wait; });
}

Subscription::Answer Subscription::JudgeNonce(absl::string_view nonce) const {
  // The first request of a stream may carry the nonce of a stream before it.
  if (nonce.empty() || last_nonce_ == 0) return Answer::kNone;
  if (nonce != absl::AlphaNum(last_nonce_).Piece()) return Answer::kStale;
  return Answer::kFresh;
}

std::optional<Acknowledgement> Subscription::TakeAcknowledgement() {
  std::optional<Acknowledgement> held;
  bool own_key = false;
  for (Slot& slot : slots_) {
    const std::shared_ptr<const SecretSnapshot> sent = std::exchange(slot.sent, nullptr);
    if (sent == nullptr) continue;
    if (!held.has_value()) held.emplace();
    const SecretContent& content = *sent->content();
    if (content.kind() != SecretKind::kIdentity) {
      const TrustVersion version = content.trust_version();
      held->trust_version = held->trust_version == 0 ? version : std::min(held->trust_version, version);
      if (held->serial.empty()) held->version_info = sent->version();
      continue;
    }
    if (own_key || (!held->serial.empty() && slot.name.name != kDefaultName)) continue;
    own_key = slot.name.name == kDefaultName;
    held->serial = content.identity().serial;
    held->authority_id = content.identity().authority_id;
    held->generation = content.identity().generation;
    held->version_info = sent->version();
  }
  return held;
}

bool Subscription::TakeRejection() {
  bool any = false;
  for (Slot& slot : slots_) any |= std::exchange(slot.sent, nullptr) != nullptr;
  return any;
}

}  // namespace meshca::sds
