#include "cli/agent_process/node_holdings.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <map>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/service/proto_time.h"
#include "ca/subscribers/subscriber_principal.h"

namespace meshca::cli {
namespace {

constexpr size_t kBehindMax = 100;  // agent.proto
constexpr size_t kUnderMax = 16;
constexpr size_t kProgramBytesMax = 256;

// 0: it is no process, or cannot be seen.
uint32_t PidOf(const SubscriberRecord& consumer) {
  const std::optional<int32_t> pid = SubscriberPid(consumer);
  return pid.has_value() && *pid > 0 ? static_cast<uint32_t>(*pid) : 0;
}

// What a stranger calls his program goes to the CA as text, and no longer than it reads.
std::string ProgramText(absl::string_view path) {
  std::string text = Printable(path.substr(0, kProgramBytesMax));
  if (text.size() <= kProgramBytesMax) return text;
  size_t end = kProgramBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// Since when, at the latest: what it holds it has held since its last answer, or since it came.
absl::Time BehindSince(const SubscriberRecord& consumer) {
  const absl::Time answered = std::max(consumer.acknowledged_at, consumer.delivered_at);
  return answered == absl::InfinitePast() ? consumer.first_seen : answered;
}

std::string ProgramOf(uint32_t pid) {
  char path[PATH_MAX];
  const ssize_t bytes = readlink(absl::StrCat("/proc/", pid, "/exe").c_str(), path, sizeof(path));
  return bytes <= 0 ? "" : std::string(path, static_cast<size_t>(bytes));
}

}  // namespace

agent::v1::Held ComposeHeld(const std::vector<SubscriberRecord>& consumers, const std::vector<RingKey>& keys,
                            TrustVersion told, absl::FunctionRef<std::string(uint32_t pid)> program_of) {
  agent::v1::Held held;
  std::map<std::string, uint32_t> under;
  absl::flat_hash_set<absl::string_view> newest;
  for (const RingKey& key : keys) {
    newest.insert(key.serial);
    ++under[key.authority_id];
  }
  held.set_certificates(static_cast<uint32_t>(keys.size()));
  TrustVersion slowest = told;
  uint32_t behind = 0;
  for (const SubscriberRecord& consumer : consumers) {
    if (consumer.IsEvicted()) continue;
    held.set_consumers(held.consumers() + 1);
    const bool takes_trust = consumer.takes_bundle || consumer.takes_jwt_keys;
    const bool old_trust = takes_trust && consumer.trust_version < told;
    const bool old_key = consumer.takes_key && !consumer.serial.empty() && !newest.contains(consumer.serial);
    if (takes_trust) slowest = std::min(slowest, consumer.trust_version);
    if (old_key) ++under[consumer.authority_id];
    if (!old_trust && !old_key) continue;
    if (++behind > kBehindMax) continue;
    agent::v1::Behind& one = *held.add_behind_first();
    one.set_spiffe_id(consumer.spiffe_id);
    one.set_pid(PidOf(consumer));
    if (one.pid() != 0) one.set_program(ProgramText(program_of(one.pid())));
    one.set_trust_version(consumer.trust_version);
    SetTime(BehindSince(consumer), [&] { return one.mutable_since(); });
    if (old_key) one.set_authority_id(consumer.authority_id);
    one.set_delivered(consumer.acknowledged_at == absl::InfinitePast() && CannotAcknowledge(consumer.kind));
  }
  held.set_behind(behind);
  held.set_trust_version(slowest);
  // More authorities than can be told: naming none counts as holding a stale one, which holds up and never hurries.
  if (under.size() <= kUnderMax) {
    for (const auto& [authority_id, certificates] : under) {
      agent::v1::HeldUnder& one = *held.add_under();
      one.set_authority_id(authority_id);
      one.set_certificates(certificates);
    }
  }
  return held;
}

agent::v1::Held NodeHoldings::Report() { return Compose(ProgramOf); }

agent::v1::Held NodeHoldings::Count() const {
  return Compose([](uint32_t) { return std::string(); });
}

agent::v1::Held NodeHoldings::Compose(absl::FunctionRef<std::string(uint32_t pid)> program_of) const {
  std::vector<RingKey> keys;
  sds_->keys().VisitKeys([&](const sds::KeyRing::KeyView& key) {
    if (!key.serial.empty()) keys.push_back({key.id.uri(), std::string(key.serial), std::string(key.authority_id)});
  });
  const std::shared_ptr<const sds::Trust> trust = trust_.Current();
  return ComposeHeld(sds_->subscribers().List(), keys, trust == nullptr ? 0 : trust->version, program_of);
}

}  // namespace meshca::cli
