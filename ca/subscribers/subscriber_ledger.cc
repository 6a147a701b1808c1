#include "ca/subscribers/subscriber_ledger.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "ca/base/status.h"
#include "ca/subscribers/subscriber_principal.h"

namespace meshca {
namespace {

InstanceRoom::Place PlaceOf(const SubscriberRecord& record) { return {record.spiffe_id, SubscriberPrincipal(record)}; }

}  // namespace

struct SubscriberLedger::Entry {
  explicit Entry(SubscriberInstance what) : instance(std::move(what)) {}

  SubscriberInstance instance;
  InstanceRoom::Seat counted_as;                            // whose room it takes
  bool changed = false;                                     // in changed_
  bool acknowledged = false;                                // and is to be saved for that, when there is time
  uint64_t taken = 0;                                       // by which call of TakeChanges, the last time
  size_t fetches = 0;                                       // calls of FetchSecrets under way
  ProcessName process;                                      // that it ends with; not known: with none
  absl::Duration process_ended = absl::InfiniteDuration();  // since boot: when that was seen to have ended
};

SubscriberLedger::SubscriberLedger(absl::Duration leaf_lifetime, InstanceRoom::Limits limits,
                                   absl::Duration delivered_after)
    : leaf_lifetime_(leaf_lifetime), delivered_after_(delivered_after), room_(limits) {}

SubscriberLedger::~SubscriberLedger() = default;

void SubscriberLedger::Restore(std::vector<SubscriberRecord> rows) {
  for (SubscriberRecord& row : rows) {
    Entry& entry = Add(SubscriberInstance(std::move(row)));
    const SubscriberRecord& record = entry.instance.record();
    if (!record.IsEvicted()) room_.Count(entry.counted_as, PlaceOf(record));
  }
}

SubscriberLedger::Entry& SubscriberLedger::Add(SubscriberInstance instance) {
  auto entry = std::make_unique<Entry>(std::move(instance));
  const absl::string_view name = entry->instance.record().instance;
  return *entries_.emplace(name, std::move(entry)).first->second;
}

SubscriberLedger::Entry* SubscriberLedger::FindEntry(absl::string_view instance) const {
  const auto found = entries_.find(instance);
  return found == entries_.end() ? nullptr : found->second.get();
}

SubscriberLedger::StreamPlace SubscriberLedger::FindStream(StreamId stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? StreamPlace() : found->second;
}

absl::StatusOr<SubscriberLedger::Entry*> SubscriberLedger::Admit(const SubscriberRecord& info, const Moment& now) {
  Entry* const known = FindEntry(info.instance);
  // Whoever was evicted takes no room, so it needs some to come back.
  if (known == nullptr || known->instance.record().IsEvicted()) {
    MESHCA_RETURN_IF_ERROR(room_.Admit(PlaceOf(info), now.since_boot));
  }
  Entry& entry = known != nullptr ? *known : Add(SubscriberInstance(info.instance, now.time));
  entry.instance.Introduce(info);
  SetProcess(entry, IsOutlived(info.process, now.since_boot) ? ProcessName() : info.process);
  room_.Count(entry.counted_as, PlaceOf(entry.instance.record()));
  return &entry;
}

absl::StatusOr<StreamId> SubscriberLedger::Join(const SubscriberRecord& info, EvictionNotice on_evicted,
                                                const Moment& now, DeliveryCheck check_delivery) {
  MESHCA_ASSIGN_OR_RETURN(Entry* const entry, Admit(info, now));
  const StreamId id{++last_stream_};
  SubscriberInstance::Stream& stream = entry->instance.Join(id, std::move(on_evicted), std::move(check_delivery), now);
  streams_[id] = {entry, &stream};
  Change(*entry);
  return id;
}

void SubscriberLedger::Carry(StreamId id, const Carried& what) {
  const auto [entry, stream] = FindStream(id);
  if (entry == nullptr || stream->takes == what) return;
  stream->takes = what;
  Change(*entry);
}

void SubscriberLedger::Send(StreamId id, absl::Time certificate_ends) {
  const auto [entry, stream] = FindStream(id);
  if (entry == nullptr) return;
  // Until when it is remembered once it has left is saved before it can leave: a crash must not forget it sooner.
  const bool longer = entry->instance.Certify(certificate_ends);
  if (entry->instance.may_hold() && !longer) return;
  entry->instance.MayHold();
  Change(*entry);
}

void SubscriberLedger::Acknowledge(StreamId id, const Acknowledgement& acknowledgement, absl::Time now) {
  const auto [entry, stream] = FindStream(id);
  if (entry == nullptr) return;
  entry->instance.Acknowledge(*stream, acknowledgement, now);
  ++acks_;
  SetAcknowledged(*entry, true);
}

void SubscriberLedger::Reject(StreamId id, absl::string_view what, absl::Time now) {
  const auto [entry, stream] = FindStream(id);
  if (entry == nullptr) return;
  entry->instance.Reject(*stream, what, now);
  ++nacks_;
  Change(*entry);
}

void SubscriberLedger::Write(StreamId id, Acknowledgement holds, absl::Duration since_boot) {
  const auto [entry, stream] = FindStream(id);
  if (entry == nullptr) return;
  const absl::Duration due = since_boot + delivered_after_;
  if (stream->written.empty()) due_.emplace(due, id);
  entry->instance.Write(*stream, std::move(holds), due);
}

void SubscriberLedger::CountDelivered(const StreamPlace& place, absl::Time now) {
  SubscriberInstance::Stream& stream = *place.stream;
  due_.erase({stream.written.front().due, stream.id});
  place.entry->instance.CountDelivered(stream, now);
  ++deliveries_;
  SetAcknowledged(*place.entry, true);
  if (!stream.written.empty()) due_.emplace(stream.written.front().due, stream.id);
}

void SubscriberLedger::ConfirmDelivery(StreamId id, absl::Time now) {
  const StreamPlace place = FindStream(id);
  if (place.entry != nullptr && !place.stream->written.empty()) CountDelivered(place, now);
}

void SubscriberLedger::ConfirmAllDeliveries(StreamId id, absl::Time now) {
  const StreamPlace place = FindStream(id);
  while (place.entry != nullptr && !place.stream->written.empty()) CountDelivered(place, now);
}

SubscriberLedger::Due SubscriberLedger::TakeDue(const Moment& now) {
  Due due;
  while (!due_.empty() && due_.begin()->first <= now.since_boot) {
    const StreamPlace place = FindStream(due_.begin()->second);
    if (place.stream->check_delivery == nullptr) {
      CountDelivered(place, now.time);
      continue;
    }
    due_.erase(due_.begin());
    due.checks.push_back(place.stream->check_delivery);
  }
  if (!due_.empty()) due.next = due_.begin()->first;
  return due;
}

void SubscriberLedger::Leave(StreamId id, bool broken, const Moment& now) {
  const auto [entry, stream] = FindStream(id);
  if (entry == nullptr) return;
  if (!stream->written.empty()) due_.erase({stream->written.front().due, id});
  streams_.erase(id);
  entry->instance.Leave(*stream, broken, now);
  Change(*entry);
  ForgetIfDone(*entry, now.since_boot);
}

absl::Status SubscriberLedger::BeginFetch(const SubscriberRecord& info, const Moment& now) {
  MESHCA_ASSIGN_OR_RETURN(Entry* const entry, Admit(info, now));
  ++entry->fetches;
  return absl::OkStatus();
}

void SubscriberLedger::Deliver(absl::string_view instance, const Delivery& delivery, absl::Time now) {
  Entry* const entry = FindEntry(instance);
  if (entry == nullptr) return;
  entry->instance.Deliver(delivery, now);
  room_.Count(entry->counted_as, PlaceOf(entry->instance.record()));
  Change(*entry);
}

void SubscriberLedger::EndFetch(absl::string_view instance, absl::Duration since_boot) {
  Entry* const entry = FindEntry(instance);
  if (entry == nullptr || entry->fetches == 0) return;
  --entry->fetches;
  // It was evicted, and nothing was delivered to it since: it is not back.
  if (entry->instance.record().IsEvicted() && entry->fetches == 0) room_.Count(entry->counted_as, std::nullopt);
  ForgetIfDone(*entry, since_boot);
}

void SubscriberLedger::SetProcess(Entry& entry, const ProcessName& process) {
  if (entry.process == process) return;
  if (const auto found = processes_.find(entry.process); found != processes_.end()) {
    std::erase(found->second, &entry);
    if (found->second.empty()) processes_.erase(found);
  }
  entry.process = process;
  entry.process_ended = absl::InfiniteDuration();
  if (process.IsKnown()) processes_[process].push_back(&entry);
}

void SubscriberLedger::Recognise(absl::string_view instance, const ProcessName& process) {
  if (Entry* const entry = FindEntry(instance); entry != nullptr) SetProcess(*entry, process);
}

bool SubscriberLedger::IsOutlived(const ProcessName& process, absl::Duration since_boot) const {
  const auto found = ended_.find(process);
  return found != ended_.end() && since_boot - found->second > kLastWords;
}

absl::Duration SubscriberLedger::RememberEnd(const ProcessName& process, absl::Duration since_boot) {
  const auto [place, added] = ended_.try_emplace(process, since_boot);
  const absl::Duration ended = place->second;
  if (!added) return ended;
  ended_in_order_.push_back(process);
  if (ended_in_order_.size() > kEndedMax) {
    ended_.erase(ended_in_order_.front());
    ended_in_order_.pop_front();
  }
  return ended;
}

void SubscriberLedger::EndProcess(const ProcessName& process, absl::Duration since_boot) {
  const absl::Duration ended = RememberEnd(process, since_boot);
  const auto found = processes_.find(process);
  if (found == processes_.end()) return;
  for (Entry* const entry : std::vector<Entry*>(found->second)) {
    entry->process_ended = ended;
    ForgetIfDone(*entry, since_boot);
  }
}

void SubscriberLedger::Forget(Entry& entry) {
  room_.Count(entry.counted_as, std::nullopt);
  SetAcknowledged(entry, false);
  SetProcess(entry, {});
  entries_.erase(entries_.find(entry.instance.record().instance));
}

void SubscriberLedger::ForgetIfDone(Entry& entry, absl::Duration since_boot) {
  if (entry.instance.HasStreams() || entry.fetches > 0) return;
  if (!entry.instance.may_hold()) return Forget(entry);
  if (entry.process_ended == absl::InfiniteDuration()) return;
  // Its streams outlived it: they were somebody else's, to whom it gave its connection.
  if (since_boot - entry.process_ended > kLastWords) return SetProcess(entry, {});
  forgotten_.push_back(entry.instance.record().instance);
  Forget(entry);
}

SubscriberLedger::Evictions SubscriberLedger::Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen,
                                                    const Moment& now) {
  Evictions evictions;
  for (const auto& [name, entry] : entries_) {
    SubscriberInstance& instance = entry->instance;
    if (instance.record().IsEvicted() || !chosen(instance.Settle(now.since_boot))) continue;
    evictions.instances.push_back(std::string(name));
    const auto streams = instance.Evict(now.time);
    if (!streams.empty()) ++evictions.were_connected;
    for (const auto& stream : streams) {
      streams_.erase(stream->id);
      if (!stream->written.empty()) due_.erase({stream->written.front().due, stream->id});
      if (stream->on_evicted != nullptr) evictions.notices.push_back(std::move(stream->on_evicted));
    }
    room_.Count(entry->counted_as, std::nullopt);
    Change(*entry);  // until it is saved that it does not count
  }
  return evictions;
}

size_t SubscriberLedger::TakeBackEvictions(const std::vector<std::string>& instances, absl::Time evicted_at) {
  size_t taken_back = 0;
  for (const std::string& name : instances) {
    Entry* const entry = FindEntry(name);
    if (entry == nullptr || !entry->changed || entry->instance.record().evicted_at != evicted_at) continue;
    entry->instance.TakeBackEviction();
    room_.Count(entry->counted_as, PlaceOf(entry->instance.record()));
    ++taken_back;
  }
  return taken_back;
}

void SubscriberLedger::EndCertificates(absl::string_view instance, absl::Time until) {
  Entry* const entry = FindEntry(instance);
  if (entry != nullptr && entry->instance.EndCertificates(until)) Change(*entry);
}

std::vector<std::string> SubscriberLedger::ForgetEnded(absl::Time now) {
  std::vector<std::string> forgotten;
  for (const auto& [name, entry] : entries_) {
    if (entry->instance.HasStreams() || entry->fetches > 0) continue;
    const SubscriberRecord& record = entry->instance.record();
    const absl::Time until = record.certificate_expires != absl::InfinitePast() ? record.certificate_expires
                                                                                : record.last_seen + leaf_lifetime_;
    if (until <= now) forgotten.push_back(std::string(name));
  }
  for (const std::string& name : forgotten) {
    Forget(*entries_.at(name));
  }
  for (const auto& [name, entry] : entries_) {
    if (entry->instance.DropEndedKeys(now)) Change(*entry);
  }
  return forgotten;
}

void SubscriberLedger::Change(Entry& entry) {
  if (entry.changed || !entry.instance.may_hold()) return;
  entry.changed = true;
  changed_.push_back(entry.instance.record().instance);
}

void SubscriberLedger::Change(const std::vector<std::string>& instances) {
  for (const std::string& name : instances) {
    if (Entry* const entry = FindEntry(name); entry != nullptr) Change(*entry);
  }
}

void SubscriberLedger::SetAcknowledged(Entry& entry, bool acknowledged) {
  if (std::exchange(entry.acknowledged, acknowledged) == acknowledged) return;
  acknowledged ? ++acknowledged_ : --acknowledged_;
}

void SubscriberLedger::ChangeAcknowledged() {
  if (acknowledged_ == 0) return;
  for (const auto& [name, entry] : entries_) {
    if (entry->acknowledged) Change(*entry);
  }
  // Batches of neighbours: each changes few pages of the table, and none twice.
  std::sort(changed_.begin(), changed_.end());
}

std::vector<SubscriberRecord> SubscriberLedger::TakeChanges(size_t max, absl::Duration since_boot) {
  std::vector<SubscriberRecord> rows;
  const size_t count = std::min(changed_.size(), max);
  rows.reserve(count);
  ++takes_;
  for (size_t i = 0; i < count; ++i) {
    Entry* const entry = FindEntry(changed_[i]);
    if (entry == nullptr) continue;  // forgotten since
    entry->changed = false;
    SetAcknowledged(*entry, false);
    entry->taken = takes_;
    rows.push_back(entry->instance.Settle(since_boot));
  }
  changed_.erase(changed_.begin(), changed_.begin() + static_cast<ptrdiff_t>(count));
  return rows;
}

void SubscriberLedger::DropChanges() {
  for (const std::string& name : changed_) {
    Entry* const entry = FindEntry(name);
    if (entry == nullptr) continue;  // forgotten since
    entry->changed = false;
    SetAcknowledged(*entry, false);
  }
  changed_.clear();
}

SubscriberLedger::Whereabouts SubscriberLedger::RowsOf(const std::vector<std::string>& instances,
                                                       absl::Time evicted_at) const {
  Whereabouts rows;
  for (const std::string& name : instances) {
    const Entry* const entry = FindEntry(name);
    if (entry == nullptr || entry->instance.record().evicted_at != evicted_at) continue;
    rows.waiting |= entry->changed;
    rows.taken_last |= entry->taken == takes_;
  }
  return rows;
}

std::vector<SubscriberRecord> SubscriberLedger::List(absl::Duration since_boot) {
  std::vector<SubscriberInstance*> order;  // a record is too big to be sorted itself
  order.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) order.push_back(&entry->instance);
  std::sort(order.begin(), order.end(), [](const SubscriberInstance* a, const SubscriberInstance* b) {
    return std::tie(a->record().spiffe_id, a->record().instance) <
           std::tie(b->record().spiffe_id, b->record().instance);
  });
  std::vector<SubscriberRecord> records;
  records.reserve(order.size());
  for (SubscriberInstance* const instance : order) records.push_back(instance->Settle(since_boot));
  return records;
}

std::optional<SubscriberRecord> SubscriberLedger::Find(absl::string_view instance, absl::Duration since_boot) {
  Entry* const entry = FindEntry(instance);
  if (entry == nullptr) return std::nullopt;
  return entry->instance.Settle(since_boot);
}

SubscriberStats SubscriberLedger::Stats() const {
  SubscriberStats stats;
  stats.known = entries_.size();
  stats.streams = streams_.size();
  stats.acknowledged = acks_;
  stats.rejected = nacks_;
  stats.delivered = deliveries_;
  stats.unsaved = changed_.size();
  for (const auto& [name, entry] : entries_) {
    stats.unsaved += entry->acknowledged && !entry->changed ? 1 : 0;
    stats.connected += entry->instance.HasStreams() ? 1 : 0;
  }
  return stats;
}

}  // namespace meshca
