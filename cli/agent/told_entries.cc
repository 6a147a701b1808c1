#include "cli/agent/told_entries.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/entry_rules.h"
#include "ca/base/log.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca::agent {
namespace {

absl::Duration DurationOf(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// EntrySnapshot puts entries in the order of their creation, which here is the order of telling.
absl::StatusOr<RegistrationEntry> ReadEntry(const v1::NodeEntry& told, uint64_t place,
                                            const TrustDomain& trust_domain) {
  RegistrationEntry entry;
  entry.id = told.id();
  MESHCA_ASSIGN_OR_RETURN(entry.spiffe_id, SpiffeId::Parse(told.spiffe_id()));
  entry.selectors.assign(told.selectors().begin(), told.selectors().end());
  entry.dns_names.assign(told.dns_names().begin(), told.dns_names().end());
  entry.ttl = DurationOf(told.ttl());
  entry.jwt_ttl = DurationOf(told.jwt_ttl());
  entry.hint = told.hint();
  entry.created_at = absl::UnixEpoch() + absl::Microseconds(static_cast<int64_t>(place));
  MESHCA_RETURN_IF_ERROR(CompleteEntry(trust_domain, entry));
  if (entry.spiffe_id.IsReserved()) {
    return absl::InvalidArgumentError(absl::StrCat(entry.spiffe_id.uri(), " is meshca's own and no workload's"));
  }
  return entry;
}

}  // namespace

absl::Status ToldEntries::Apply(const v1::EntriesChange& change, const TrustDomain& trust_domain) {
  absl::Status staged = Stage(change);
  if (!staged.ok()) {
    ForgetPart();
    MutexLock lock(mutex_);
    revision_ = 0;
    return staged;
  }
  if (!change.complete()) return absl::OkStatus();
  served_ = std::exchange(staged_, {});
  staging_ = false;
  Publish(trust_domain, change.revision());
  return absl::OkStatus();
}

void ToldEntries::Restore(const v1::EntriesChange& saved, const TrustDomain& trust_domain) {
  for (const v1::NodeEntry& told : saved.put()) {
    if (!told.id().empty() && served_.size() < kEntriesMax) served_[told.id()] = {++next_place_, told};
  }
  Publish(trust_domain, /*revision=*/0);
}

v1::EntriesChange ToldEntries::Whole() const {
  std::vector<const Entry*> in_order;
  in_order.reserve(served_.size());
  for (const auto& [id, entry] : served_) in_order.push_back(&entry);
  std::sort(in_order.begin(), in_order.end(), [](const Entry* a, const Entry* b) { return a->place < b->place; });
  v1::EntriesChange whole;
  whole.set_whole(true);
  whole.set_complete(true);
  for (const Entry* entry : in_order) *whole.add_put() = entry->told;
  return whole;
}

absl::Status ToldEntries::Stage(const v1::EntriesChange& change) {
  if (change.whole()) {
    staged_.clear();
    staging_ = true;
  } else if (!staging_) {
    if (revision() == 0) return absl::InvalidArgumentError("the CA told a change of entries that it never told whole");
    staged_ = served_;
    staging_ = true;
  }
  for (const std::string& id : change.deleted()) staged_.erase(id);
  for (const v1::NodeEntry& told : change.put()) {
    if (told.id().empty()) return absl::InvalidArgumentError("the CA told an entry without an id");
    Entry& entry = staged_[told.id()];
    const auto known = served_.find(told.id());
    if (entry.told.id().empty()) entry.place = known != served_.end() ? known->second.place : ++next_place_;
    entry.told = told;
  }
  if (staged_.size() <= kEntriesMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the CA told more than ", kEntriesMax, " entries for this node"));
}

void ToldEntries::ForgetPart() {
  staged_.clear();
  staging_ = false;
}

void ToldEntries::Publish(const TrustDomain& trust_domain, uint64_t revision) {
  std::vector<RegistrationEntry> entries;
  entries.reserve(served_.size());
  for (const auto& [id, entry] : served_) {
    absl::StatusOr<RegistrationEntry> read = ReadEntry(entry.told, entry.place, trust_domain);
    if (read.ok()) {
      entries.push_back(*std::move(read));
    } else {
      LogWarning("a registration entry fits nobody on this node",
                 {{"entry", Printable(id)}, {"why", std::string(read.status().message())}});
    }
  }
  {
    MutexLock lock(mutex_);
    revision_ = revision;
    size_ = entries.size();
  }
  cache_.Publish(std::move(entries));
  for (const auto& listener : listeners_) listener();
}

uint64_t ToldEntries::revision() const {
  MutexLock lock(mutex_);
  return revision_;
}

size_t ToldEntries::size() const {
  MutexLock lock(mutex_);
  return size_;
}

}  // namespace meshca::agent
