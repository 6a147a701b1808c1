#include "ca/issuance/legacy_rights.h"

#include <algorithm>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Identities kept while searching, about 200 bytes each.
constexpr size_t kCountedMax = 100'000;

// The uid of a certificate that the server's user got for a workload. False for any other: the CA's own certificate has
// the same method.
bool WentToServerUser(const IssuanceRecord& record, absl::Time now, uint32_t& uid) {
  if (record.method != AuthMethod::kServerUser || record.spiffe_id.IsReserved()) return false;
  if (record.not_after < now || record.revoked_at <= now) return false;
  absl::string_view number = record.caller;
  return absl::ConsumePrefix(&number, "uid ") && absl::SimpleAtoi(number.substr(0, number.find(' ')), &uid);
}

// Does an entry give `right` today? One that names no uid fits by group or program: it was made for somebody who knows.
bool Covers(const RegistrationEntry& entry, const LegacyRight& right) {
  if (entry.ServedByAgents()) return false;
  bool names_uid = false;
  for (const std::string& selector : entry.selectors) {
    if (selector == absl::StrCat("unix:uid:", right.uid)) return true;
    names_uid |= absl::StartsWith(selector, "unix:uid:");
  }
  return !names_uid;
}

absl::StatusOr<bool> HasLegacyRecords(IssuanceStore& issuances) {
  bool legacy = false;
  MESHCA_RETURN_IF_ERROR(issuances.List({}, [&](const IssuanceRecord& oldest) {
    legacy = oldest.origin.kind == OriginKind::kUnknown;
    return false;
  }));
  return legacy;
}

}  // namespace

absl::StatusOr<LegacyRights> FindLegacyRights(IssuanceStore& issuances, EntryStore& entries, absl::Time now,
                                              const std::function<bool()>& stop) {
  LegacyRights rights;
  MESHCA_ASSIGN_OR_RETURN(const bool legacy, HasLegacyRecords(issuances));
  if (!legacy) return rights;

  absl::btree_map<std::string, uint32_t> uids;  // by SPIFFE ID
  IssuanceFilter live;
  live.expires_after = now;
  MESHCA_RETURN_IF_ERROR(issuances.List(live, [&](const IssuanceRecord& record) {
    if (record.origin.kind != OriginKind::kUnknown || stop()) return false;
    uint32_t uid = 0;
    if (!WentToServerUser(record, now, uid)) {
      uids.erase(record.spiffe_id.uri());  // a newer certificate: the identity has another way to come by it
    } else if (uids.size() < kCountedMax || uids.contains(record.spiffe_id.uri())) {
      uids[record.spiffe_id.uri()] = uid;
    } else {
      rights.counted_all = false;
    }
    return true;
  }));
  if (uids.empty()) return rights;

  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> present, entries.ListEntries());
  absl::flat_hash_map<absl::string_view, std::vector<const RegistrationEntry*>> by_id;
  for (const RegistrationEntry& entry : present) by_id[entry.spiffe_id.uri()].push_back(&entry);
  for (const auto& [spiffe_id, uid] : uids) {
    LegacyRight right{spiffe_id, uid};
    const std::vector<const RegistrationEntry*>& own = by_id[spiffe_id];
    if (std::any_of(own.begin(), own.end(), [&](const auto* entry) { return Covers(*entry, right); })) continue;
    if (rights.count++ < LegacyRights::kShownMax) rights.shown.push_back(std::move(right));
  }
  return rights;
}

}  // namespace meshca
