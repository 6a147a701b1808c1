#include "test/bench/simulated_agent.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "test/bench/agent_wire.h"

namespace meshca::bench {
namespace {

namespace v1 = agent::v1;

constexpr uint32_t kProtocolVersion = 1;
// Of the consumer that sleeps; no process of this host is looked at.
constexpr uint32_t kSleeperPid = 4242;
constexpr char kSleeperProgram[] = "/usr/bin/sleeping-consumer";

template <typename Values>
bool Contains(const Values& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

size_t SimulatedAgent::certificates() const {
  return static_cast<size_t>(
      std::count_if(held_.begin(), held_.end(), [](const Held& held) { return !held.serial.empty(); }));
}

v1::AttachRequest SimulatedAgent::Hello() const {
  v1::AttachRequest request;
  request.mutable_hello()->set_protocol_version(kProtocolVersion);
  request.mutable_hello()->set_agent_version("meshca-bench");
  request.mutable_hello()->set_trust_version(trust_version_);
  request.mutable_hello()->set_entries_revision(entries_complete_ ? entries_revision_ : 0);
  return request;
}

void SimulatedAgent::Restart() {
  Detach();
  has_news_ = false;
  trust_version_ = 0;
  entries_revision_ = 0;
  entries_complete_ = false;
  own_wanted_ = false;
  held_.clear();
}

absl::Status SimulatedAgent::Take(const v1::AttachResponse& message) {
  if (message.has_welcome() == welcomed_) return absl::InternalError("the first message of a stream is its welcome");
  has_news_ = true;
  switch (message.message_case()) {
    case v1::AttachResponse::kWelcome:
      welcomed_ = true;
      if (const int64_t seconds = message.welcome().heartbeat().seconds(); seconds > 0) {
        heartbeat_ = absl::Seconds(seconds);
      }
      return absl::OkStatus();
    case v1::AttachResponse::kTrust:
      if (message.trust().version() < trust_version_) return absl::InternalError("a trust version went back");
      trust_version_ = message.trust().version();
      return absl::OkStatus();
    case v1::AttachResponse::kEntries: return TakeEntries(message.entries());
    case v1::AttachResponse::kReissue: TakePermit(message.reissue()); return absl::OkStatus();
    case v1::AttachResponse::kRenew: TakeRenewNow(message.renew()); return absl::OkStatus();
    default: return absl::OkStatus();
  }
}

absl::Status SimulatedAgent::TakeEntries(const v1::EntriesChange& change) {
  if (change.whole()) {
    held_.clear();
    entries_complete_ = false;
  }
  for (const v1::NodeEntry& entry : change.put()) {
    const auto known =
        std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.entry.id() == entry.id(); });
    if (known == held_.end()) {
      held_.push_back(Held{entry, "", "", true, false});
    } else {
      known->entry = entry;
    }
  }
  std::erase_if(held_, [&](const Held& held) { return Contains(change.deleted(), held.entry.id()); });
  entries_revision_ = change.revision();
  entries_complete_ = entries_complete_ || change.complete();
  return absl::OkStatus();
}

void SimulatedAgent::TakePermit(const v1::ReissuePermit& permit) {
  uint32_t left = permit.certificates();
  for (Held& held : held_) {
    if (left == 0) return;
    if (held.wanted || held.asked || !Contains(permit.authority_ids(), held.authority_id)) continue;
    held.wanted = true;
    --left;
  }
}

void SimulatedAgent::TakeRenewNow(const v1::RenewNow& renew) {
  own_wanted_ = own_wanted_ || Contains(renew.spiffe_ids(), spiffe_id_);
  for (Held& held : held_) {
    if (Contains(renew.spiffe_ids(), held.entry.spiffe_id()) || Contains(renew.serials(), held.serial)) {
      held.wanted = !held.asked;
    }
  }
}

std::vector<SimulatedAgent::Wish> SimulatedAgent::TakeWishes(size_t max) {
  std::vector<Wish> wishes;
  if (!welcomed_ || !entries_complete_) return wishes;
  if (std::exchange(own_wanted_, false)) wishes.push_back({Wish::kOwn});
  for (size_t i = 0; i < held_.size() && wishes.size() < max; ++i) {
    if (!held_[i].wanted) continue;
    held_[i].wanted = false;
    held_[i].asked = true;
    wishes.push_back({static_cast<int>(i)});
  }
  return wishes;
}

const std::string& SimulatedAgent::IdOf(const Wish& wish) const {
  return wish.entry == Wish::kOwn ? spiffe_id_ : held_[static_cast<size_t>(wish.entry)].entry.spiffe_id();
}

v1::CertificateRequest SimulatedAgent::RequestFor(const Wish& wish) const {
  v1::CertificateRequest request;
  request.set_spiffe_id(IdOf(wish));
  if (wish.entry == Wish::kOwn) {
    request.set_parent_serial(own_serial_);
    return request;
  }
  const Held& held = held_[static_cast<size_t>(wish.entry)];
  request.set_entry_id(held.entry.id());
  request.set_parent_serial(held.serial);
  return request;
}

absl::Status SimulatedAgent::TakeResult(const Wish& wish, const v1::CertificateResult& result) {
  if (static_cast<size_t>(wish.entry) >= held_.size()) return absl::OkStatus();  // its entry has gone meanwhile
  Held& held = held_[static_cast<size_t>(wish.entry)];
  held.asked = false;
  if (result.code() != 0) {
    held.wanted = true;
    return absl::Status(static_cast<absl::StatusCode>(result.code()), result.message());
  }
  if (result.chain().empty()) return absl::DataLossError("an answer without a certificate");
  absl::StatusOr<std::string> serial = SerialOf(result.chain(0));
  if (!serial.ok()) return serial.status();
  held.serial = *std::move(serial);
  held.authority_id = result.authority_id();
  has_news_ = true;
  return absl::OkStatus();
}

void SimulatedAgent::TakeFailure(const std::vector<Wish>& wishes) {
  for (const Wish& wish : wishes) {
    if (wish.entry == Wish::kOwn) {
      own_wanted_ = true;
    } else if (static_cast<size_t>(wish.entry) < held_.size()) {
      held_[static_cast<size_t>(wish.entry)].asked = false;
      held_[static_cast<size_t>(wish.entry)].wanted = true;
    }
  }
}

void SimulatedAgent::FallAsleep() {
  asleep_ = true;
  asleep_at_version_ = trust_version_;
  asleep_since_ = absl::Now();
}

void SimulatedAgent::WakeUp() {
  if (std::exchange(asleep_, false)) has_news_ = true;
}

v1::AttachRequest SimulatedAgent::Report() {
  has_news_ = false;
  v1::AttachRequest request;
  v1::Held& held = *request.mutable_held();
  const bool behind = asleep_ && asleep_at_version_ < trust_version_;
  held.set_trust_version(behind ? asleep_at_version_ : trust_version_);
  held.set_own_trust_version(trust_version_);
  held.set_entries_revision(entries_revision_);
  held.set_consumers(consumers_);
  if (behind) {
    held.set_behind(1);
    v1::Behind& one = *held.add_behind_first();
    one.set_spiffe_id(held_.empty() ? "" : held_.front().entry.spiffe_id());
    one.set_pid(kSleeperPid);
    one.set_program(kSleeperProgram);
    one.set_trust_version(asleep_at_version_);
    one.mutable_since()->set_seconds(absl::ToUnixSeconds(asleep_since_));
  }
  std::map<std::string, uint32_t> under;
  for (const Held& one : held_) {
    if (!one.serial.empty()) ++under[one.authority_id];
  }
  held.set_certificates(static_cast<uint32_t>(certificates()));
  for (const auto& [authority_id, count] : under) {
    v1::HeldUnder& one = *held.add_under();
    one.set_authority_id(authority_id);
    one.set_certificates(count);
  }
  return request;
}

bool SimulatedAgent::settled() const {
  return told_all() && std::all_of(held_.begin(), held_.end(), [](const Held& held) {
           return !held.serial.empty() && !held.wanted && !held.asked;
         });
}

}  // namespace meshca::bench
