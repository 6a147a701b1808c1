#include "ca/subscribers/subscriber_registry.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "ca/base/status.h"

namespace meshca {

SubscriberRegistry::SubscriberRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration leaf_lifetime,
                                       InstanceRoom::Limits limits, absl::Duration delivered_after,
                                       ProcessWatch* processes)
    : clock_(clock), processes_(processes), saver_(store, clock, leaf_lifetime, limits, delivered_after) {
  if (processes_ == nullptr) return;
  processes_->Start([this](const std::vector<ProcessName>& ended) {
    ChangeAndDelete([&](SubscriberLedger& ledger) {
      for (const ProcessName& process : ended) ledger.EndProcess(process, clock_.SinceBoot());
    });
  });
}

absl::Status SubscriberRegistry::Load(const ProcessOf& process_of) {
  MESHCA_RETURN_IF_ERROR(saver_.Load());
  if (processes_ == nullptr || !process_of) return absl::OkStatus();
  for (const SubscriberRecord& record : List()) {
    const ProcessName process = process_of(record);
    if (!process.IsKnown() || !processes_->Watch(process)) continue;
    saver_.Change([&](SubscriberLedger& ledger) { ledger.Recognise(record.instance, process); });
    WatchProcess(process);
  }
  return absl::OkStatus();
}

void SubscriberRegistry::Shutdown() {
  if (processes_ != nullptr) processes_->Shutdown();
  saver_.Shutdown();
}

void SubscriberRegistry::ChangeAndDelete(absl::FunctionRef<void(SubscriberLedger&)> change) {
  std::vector<std::string> forgotten;
  saver_.Change([&](SubscriberLedger& ledger) {
    change(ledger);
    forgotten = ledger.TakeForgotten();
  });
  saver_.DeleteRows(forgotten);
}

void SubscriberRegistry::WatchProcess(const ProcessName& process) {
  if (processes_ == nullptr || processes_->Watch(process)) return;
  ChangeAndDelete([&](SubscriberLedger& ledger) { ledger.EndProcess(process, clock_.SinceBoot()); });
}

absl::StatusOr<SubscriberRegistry::Member> SubscriberRegistry::Join(const SubscriberRecord& info,
                                                                    EvictionNotice on_evicted,
                                                                    DeliveryCheck check_delivery) {
  const Moment now = Now();
  absl::StatusOr<StreamId> stream;
  saver_.Change([&](SubscriberLedger& ledger) {
    stream = ledger.Join(info, std::move(on_evicted), now, std::move(check_delivery));
  });
  MESHCA_RETURN_IF_ERROR(stream.status());
  WatchProcess(info.process);
  Member member;
  member.registry_ = this;
  member.stream_ = *stream;
  return member;
}

absl::StatusOr<SubscriberRegistry::Fetching> SubscriberRegistry::BeginFetch(const SubscriberRecord& info) {
  const Moment now = Now();
  absl::Status begun;
  saver_.Change([&](SubscriberLedger& ledger) { begun = ledger.BeginFetch(info, now); });
  MESHCA_RETURN_IF_ERROR(begun);
  WatchProcess(info.process);
  Fetching fetching;
  fetching.registry_ = this;
  fetching.instance_ = info.instance;
  return fetching;
}

std::vector<SubscriberRecord> SubscriberRegistry::List() const {
  std::vector<SubscriberRecord> records;
  saver_.ReadLedger([&](SubscriberLedger& ledger) { records = ledger.List(clock_.SinceBoot()); });
  return records;
}

std::optional<SubscriberRecord> SubscriberRegistry::Find(absl::string_view instance) const {
  std::optional<SubscriberRecord> record;
  saver_.ReadLedger([&](SubscriberLedger& ledger) { record = ledger.Find(instance, clock_.SinceBoot()); });
  return record;
}

bool SubscriberRegistry::Knows(absl::string_view instance) const {
  bool knows = false;
  saver_.ReadLedger([&](SubscriberLedger& ledger) { knows = ledger.Knows(instance); });
  return knows;
}

absl::StatusOr<SubscriberRegistry::Evicted> SubscriberRegistry::Evict(
    absl::FunctionRef<bool(const SubscriberRecord&)> chosen) {
  SubscriberSaver::Evicted evicted = saver_.Evict(chosen, Now());
  // Saved or not, those streams are evidence no more, and whoever is served has to be counted.
  for (EvictionNotice& notice : evicted.notices) std::move(notice)();
  MESHCA_RETURN_IF_ERROR(evicted.saved);
  std::sort(evicted.records.begin(), evicted.records.end(), [](const SubscriberRecord& a, const SubscriberRecord& b) {
    return std::tie(a.spiffe_id, a.instance) < std::tie(b.spiffe_id, b.instance);
  });
  return Evicted{std::move(evicted.records), evicted.were_connected};
}

void SubscriberRegistry::CertificatesEnd(absl::string_view instance, absl::Time until) {
  saver_.Change([&](SubscriberLedger& ledger) { ledger.EndCertificates(instance, until); });
}

void SubscriberRegistry::Tick() {
  const std::optional<absl::Time> now = clock_.BelievedNow();
  std::vector<std::string> forgotten;
  saver_.ChangeAndSaveAll([&](SubscriberLedger& ledger) {
    if (now.has_value()) forgotten = ledger.ForgetEnded(*now);
    ledger.Tidy(clock_.SinceBoot());
    if (processes_ == nullptr) return;
    processes_->Retain([&](const ProcessName& process) { return ledger.HasProcess(process); });
  });
  saver_.DeleteRows(forgotten);
}

void SubscriberRegistry::SetDeliveredAfter(absl::Duration delivered_after) {
  saver_.Change([&](SubscriberLedger& ledger) { ledger.SetDeliveredAfter(delivered_after); });
}

absl::Duration SubscriberRegistry::CheckDeliveries() {
  const Moment now = Now();
  SubscriberLedger::Due due;
  saver_.Change([&](SubscriberLedger& ledger) { due = ledger.TakeDue(now); });
  for (const DeliveryCheck& check : due.checks) check();
  return due.next - now.since_boot;
}

SubscriberStats SubscriberRegistry::Stats() const {
  SubscriberStats stats;
  saver_.ReadLedger([&](SubscriberLedger& ledger) { stats = ledger.Stats(); });
  return stats;
}

SubscriberRegistry::Member& SubscriberRegistry::Member::operator=(Member&& other) noexcept {
  Leave(/*broken=*/false);
  registry_ = std::exchange(other.registry_, nullptr);
  stream_ = std::exchange(other.stream_, StreamId::kNone);
  return *this;
}

void SubscriberRegistry::Member::Carries(const Carried& what) {
  if (registry_ == nullptr) return;
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.Carry(stream_, what); });
}

void SubscriberRegistry::Member::Wrote(Acknowledgement holds) {
  if (registry_ == nullptr) return;
  const absl::Duration now = registry_->clock_.SinceBoot();
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.Write(stream_, std::move(holds), now); });
}

void SubscriberRegistry::Member::Delivered() {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.ConfirmDelivery(stream_, now); });
}

void SubscriberRegistry::Member::DeliveredAll() {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.ConfirmAllDeliveries(stream_, now); });
}

void SubscriberRegistry::Member::SentCertificate(absl::Time not_after) {
  if (registry_ == nullptr) return;
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.Send(stream_, not_after); });
}

void SubscriberRegistry::Member::Acknowledged(const Acknowledgement& acknowledgement) {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.Acknowledge(stream_, acknowledgement, now); });
}

void SubscriberRegistry::Member::Rejected(absl::string_view what) {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.Reject(stream_, what, now); });
}

void SubscriberRegistry::Member::Leave(bool broken) {
  if (registry_ == nullptr) return;
  SubscriberRegistry& registry = *std::exchange(registry_, nullptr);
  const Moment now = registry.Now();
  registry.ChangeAndDelete([&](SubscriberLedger& ledger) { ledger.Leave(stream_, broken, now); });
}

SubscriberRegistry::Fetching& SubscriberRegistry::Fetching::operator=(Fetching&& other) noexcept {
  End();
  registry_ = std::exchange(other.registry_, nullptr);
  instance_ = std::move(other.instance_);
  return *this;
}

void SubscriberRegistry::Fetching::Delivered(const Delivery& delivery) {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  registry_->saver_.Change([&](SubscriberLedger& ledger) { ledger.Deliver(instance_, delivery, now); });
}

void SubscriberRegistry::Fetching::End() {
  if (registry_ == nullptr) return;
  SubscriberRegistry& registry = *std::exchange(registry_, nullptr);
  const absl::Duration now = registry.clock_.SinceBoot();
  registry.ChangeAndDelete([&](SubscriberLedger& ledger) { ledger.EndFetch(instance_, now); });
}

}  // namespace meshca
