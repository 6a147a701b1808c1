#include "ca/subscribers/subscriber_instance.h"

#include <algorithm>
#include <utility>

namespace meshca {
namespace {

// It counts as one that has acknowledged nothing.
void ForgetEvidence(SubscriberRecord& record) {
  record.trust_version = 0;
  record.serial.clear();
  record.authority_id.clear();
  record.version_info.clear();
  record.rejected.clear();
  record.acknowledged_at = absl::InfinitePast();
  record.delivered_at = absl::InfinitePast();
}

// What the stream holds. One that acknowledged no key holds an older one than all others.
const SubscriberInstance::Stream::Key& KeyOf(const SubscriberInstance::Stream& stream) {
  static const SubscriberInstance::Stream::Key* const kNone = new SubscriberInstance::Stream::Key();
  return stream.key == nullptr ? *kNone : *stream.key;
}

}  // namespace

SubscriberInstance::SubscriberInstance(std::string instance, absl::Time now) {
  record_.instance = std::move(instance);
  record_.first_seen = now;
}

SubscriberInstance::SubscriberInstance(SubscriberRecord row) : record_(std::move(row)), may_hold_(true) {
  record_.connected = false;
  carried_ = {record_.takes_bundle, record_.takes_key, record_.takes_jwt_keys};
  if (!HoldsWhatItWasSent(record_.kind) || !record_.takes_key) return;
  const std::string of = record_.version_info.empty() ? "" : record_.spiffe_id;
  sent_[of] = {of, 0, record_.serial, record_.authority_id, record_.version_info, record_.certificate_expires};
}

void SubscriberInstance::Introduce(const SubscriberRecord& info) {
  if (!info.spiffe_id.empty()) record_.spiffe_id = info.spiffe_id;
  record_.node = info.node;
  record_.kind = info.kind;
  record_.peer = info.peer;
}

SubscriberInstance::Stream& SubscriberInstance::Join(StreamId id, EvictionNotice on_evicted,
                                                     DeliveryCheck check_delivery, const Moment& now) {
  if (record_.IsEvicted()) record_.first_seen = now.time;
  record_.evicted_at = absl::InfiniteFuture();
  record_.connected = true;
  record_.last_seen = now.time;
  departed_ = nullptr;
  carried_until_ = std::min(carried_until_, now.since_boot + kComeBack);
  auto stream = std::make_unique<Stream>();
  stream->id = id;
  stream->index = streams_.size();
  stream->on_evicted = std::move(on_evicted);
  stream->check_delivery = std::move(check_delivery);
  streams_.push_back(std::move(stream));
  return *streams_.back();
}

void SubscriberInstance::Hold(Stream& stream, const Acknowledgement& what, absl::Time now) {
  if (what.trust_version != 0) stream.trust_version = what.trust_version;
  if (!what.serial.empty()) {
    if (stream.key == nullptr) stream.key = std::make_unique<Stream::Key>();
    *stream.key = {what.generation, what.serial, what.authority_id, what.version_info};
  }
  if (!what.version_info.empty()) stream.version_info = what.version_info;
  may_hold_ = true;
  record_.last_seen = now;
}

void SubscriberInstance::Acknowledge(Stream& stream, const Acknowledgement& acknowledgement, absl::Time now) {
  Hold(stream, acknowledgement, now);
  stream.rejected.clear();
  record_.acknowledged_at = now;
}

void SubscriberInstance::Write(Stream& stream, Acknowledgement holds, absl::Duration due) {
  if (stream.written.size() == 2) stream.written.pop_back();
  stream.written.push_back({std::move(holds), due});
}

void SubscriberInstance::CountDelivered(Stream& stream, absl::Time now) {
  Hold(stream, stream.written.front().holds, now);
  stream.written.erase(stream.written.begin());
  record_.delivered_at = now;
}

void SubscriberInstance::Reject(Stream& stream, absl::string_view what, absl::Time now) {
  stream.rejected = what.empty() ? "(no reason given)" : std::string(what);
  may_hold_ = true;
  record_.last_seen = now;
}

// The connection of `stream` broke.
void SubscriberInstance::Remember(const Stream& stream, absl::Duration since_boot) {
  carried_ |= stream.takes;
  carried_until_ = since_boot + kComeBack;
  if (departed_ == nullptr) departed_ = std::make_unique<Departed>();
  if (stream.TakesTrust()) {
    departed_->trust = std::min(departed_->trust.value_or(stream.trust_version), stream.trust_version);
  }
  if (stream.takes.key && (!departed_->key.has_value() || stream.Generation() < departed_->key->generation)) {
    departed_->key = KeyOf(stream);
  }
}

void SubscriberInstance::Leave(Stream& stream, bool broken, const Moment& now) {
  // What broke earlier has had time enough to come back.
  if (now.since_boot >= carried_until_) carried_ = {};
  const bool is_last = streams_.size() == 1;
  if (is_last) Settle(now.since_boot);  // what the last one leaves is remembered
  if (broken) {
    Remember(stream, now.since_boot);
  } else if (is_last) {
    // A program that ends in good order gives its streams up too, and the certificate it had lives on.
    carried_ |= stream.takes;
  }
  const size_t index = stream.index;
  std::swap(streams_[index], streams_.back());
  streams_[index]->index = index;
  streams_.pop_back();  // `stream` is gone
  record_.last_seen = now.time;
  record_.connected = !streams_.empty();
  // Nobody knows how long it is away: what it carried is believed until it is back.
  if (streams_.empty()) carried_until_ = absl::InfiniteDuration();
}

void SubscriberInstance::Deliver(const Delivery& delivery, absl::Time now) {
  if (record_.IsEvicted()) record_.first_seen = now;
  record_.evicted_at = absl::InfiniteFuture();
  record_.last_seen = now;
  if (delivery.trust_version.has_value()) {
    record_.takes_bundle = true;
    record_.trust_version = *delivery.trust_version;
    if (sent_.empty()) record_.version_info = delivery.version_info;
  }
  for (const Delivery::Key& key : delivery.keys) {
    record_.takes_key = true;
    Certify(key.not_after);
    sent_[key.spiffe_id] = key;
  }
  SettleKeysSent();
  may_hold_ = true;
}

// The oldest key that it may still hold counts.
void SubscriberInstance::SettleKeysSent() {
  const Delivery::Key* oldest = nullptr;
  for (const auto& [id, key] : sent_) {
    if (oldest == nullptr || key.generation < oldest->generation) oldest = &key;
  }
  if (oldest == nullptr) return;
  record_.serial = oldest->serial;
  record_.authority_id = oldest->authority_id;
  const bool is_only_and_own = sent_.size() == 1 && oldest->spiffe_id == record_.spiffe_id;
  record_.version_info = is_only_and_own ? oldest->version_info : "";
}

bool SubscriberInstance::Certify(absl::Time not_after) {
  if (not_after <= record_.certificate_expires) return false;
  record_.certificate_expires = not_after;
  return true;
}

bool SubscriberInstance::EndCertificates(absl::Time until) {
  // Not the infinite past: that is an instance which never had a certificate, and is remembered for a lifetime.
  until = std::max(until, absl::UnixEpoch());
  if (record_.certificate_expires <= until) return false;
  record_.certificate_expires = until;
  return true;
}

bool SubscriberInstance::DropEndedKeys(absl::Time now) {
  if (sent_.size() < 2) return false;
  if (std::erase_if(sent_, [now](const auto& key) { return key.second.not_after <= now; }) == 0) return false;
  SettleKeysSent();
  return true;
}

std::vector<std::unique_ptr<SubscriberInstance::Stream>> SubscriberInstance::Evict(absl::Time now) {
  for (const std::unique_ptr<Stream>& stream : streams_) carried_ |= stream->takes;
  carried_until_ = absl::InfiniteDuration();
  departed_ = nullptr;
  sent_.clear();
  ForgetEvidence(record_);
  record_.connected = false;
  record_.evicted_at = now;
  may_hold_ = true;  // it is to be saved that it counts no more
  return std::exchange(streams_, {});
}

void SubscriberInstance::SettleTaking(absl::Duration since_boot) {
  Carried taken;
  if (since_boot < carried_until_) taken = carried_;
  for (const std::unique_ptr<Stream>& stream : streams_) taken |= stream->takes;
  record_.takes_bundle = taken.bundle;
  record_.takes_key = taken.key;
  record_.takes_jwt_keys = taken.jwt_keys;
}

const SubscriberRecord& SubscriberInstance::Settle(absl::Duration since_boot) {
  if (HoldsWhatItWasSent(record_.kind)) return record_;  // what it was sent is there already
  SettleTaking(since_boot);
  if (!streams_.empty()) record_.rejected.clear();
  const Stream* slowest_trust = nullptr;
  const bool key_departed = departed_ != nullptr && departed_->key.has_value();
  const Stream::Key* slowest_key = key_departed ? &*departed_->key : nullptr;
  for (const std::unique_ptr<Stream>& stream : streams_) {
    if (stream->TakesTrust() && (slowest_trust == nullptr || stream->trust_version < slowest_trust->trust_version)) {
      slowest_trust = stream.get();
    }
    if (stream->takes.key && (slowest_key == nullptr || stream->Generation() < slowest_key->generation)) {
      slowest_key = &KeyOf(*stream);
    }
    if (!stream->rejected.empty()) record_.rejected = stream->rejected;
  }
  if (slowest_trust != nullptr) {
    record_.trust_version = slowest_trust->trust_version;
    if (slowest_key == nullptr && record_.serial.empty()) record_.version_info = slowest_trust->version_info;
  }
  if (departed_ != nullptr && departed_->trust.has_value()) {
    const TrustVersion departed = *departed_->trust;
    record_.trust_version = slowest_trust == nullptr ? departed : std::min(record_.trust_version, departed);
  }
  if (slowest_key != nullptr) {
    record_.serial = slowest_key->serial;
    record_.authority_id = slowest_key->authority_id;
    record_.version_info = slowest_key->version_info;
  }
  return record_;
}

}  // namespace meshca
