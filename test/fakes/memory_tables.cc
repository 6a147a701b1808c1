#include "test/fakes/memory_tables.h"

#include <algorithm>

#include "ca/base/status.h"
#include "storage/canonical_bytes.h"

namespace meshca {
namespace {

using storage::WithMac;

// Rows hold microseconds.
absl::Time CutToMicros(absl::Time time) { return storage::TimeOfMicros(storage::MicrosOf(time)); }

template <typename Row>
std::vector<WithMac<Row>> OldestFirst(std::vector<WithMac<Row>> rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return std::pair(a.value.created_at, a.value.id) < std::pair(b.value.created_at, b.value.id);
  });
  return rows;
}

template <typename Rows, typename Visit>
absl::Status VisitAll(const Rows& rows, Visit visit) {
  for (const auto& row : rows) MESHCA_RETURN_IF_ERROR(visit(row));
  return absl::OkStatus();
}

}  // namespace

// ---- trust ----

absl::Status MemoryTrustTable::WriteHead(const storage::TrustHead& head) {
  rows_.trust.Write().head = head;
  return absl::OkStatus();
}

absl::Status MemoryTrustTable::VisitAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredAuthority>)> visit) {
  return VisitAll(rows_.trust->authorities, visit);
}

absl::Status MemoryTrustTable::PutAuthority(const StoredAuthority& authority, absl::string_view mac) {
  MemoryTrust& trust = rows_.trust.Write();
  const auto row = std::find_if(trust.authorities.begin(), trust.authorities.end(),
                                [&](const auto& other) { return other.value.id == authority.id; });
  if (row == trust.authorities.end()) {
    trust.authorities.push_back({authority, std::string(mac)});
    trust.signers.push_back(authority.id);
  } else {
    *row = {authority, std::string(mac)};
  }
  return absl::OkStatus();
}

absl::Status MemoryTrustTable::DeleteAuthority(const std::string& id) {
  std::erase_if(rows_.trust.Write().authorities, [&](const auto& row) { return row.value.id == id; });
  return absl::OkStatus();
}

absl::StatusOr<std::optional<storage::Signer>> MemoryTrustTable::FindSigner(const std::string& id) {
  const MemoryTrust& trust = *rows_.trust;
  for (const auto& row : trust.authorities) {
    if (row.value.id != id) continue;
    const auto number = std::find(trust.signers.rbegin(), trust.signers.rend(), id);
    return storage::Signer{trust.signers.rend() - number, row.value.state};
  }
  return std::nullopt;
}

absl::Status MemoryTrustTable::VisitJwtAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredJwtAuthority>)> visit) {
  return VisitAll(rows_.trust->jwt_authorities, visit);
}

absl::Status MemoryTrustTable::PutJwtAuthority(const StoredJwtAuthority& authority, absl::string_view mac) {
  auto& rows = rows_.trust.Write().jwt_authorities;
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const auto& other) { return other.value.key_id == authority.key_id; });
  if (row == rows.end()) {
    rows.push_back({authority, std::string(mac)});
  } else {
    *row = {authority, std::string(mac)};
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryTrustTable::HighestBundleNumber() {
  return rows_.trust->bundles.empty() ? 0 : rows_.trust->bundles.rbegin()->first;
}

absl::StatusOr<std::optional<WithMac<StoredBundle>>> MemoryTrustTable::FindNewestBundle() {
  if (rows_.trust->bundles.empty()) return std::nullopt;
  return rows_.trust->bundles.rbegin()->second;
}

absl::Status MemoryTrustTable::VisitBundles(absl::FunctionRef<absl::Status(WithMac<StoredBundle>)> visit) {
  return VisitAll(rows_.trust->bundles, [&](const auto& row) { return visit(row.second); });
}

absl::Status MemoryTrustTable::InsertBundle(const StoredBundle& bundle, absl::string_view mac) {
  storage::WithMac<StoredBundle>& row = rows_.trust.Write().bundles[bundle.sequence_number];
  row = {bundle, std::string(mac)};
  row.value.jwt_keys_der.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<WithMac<storage::BundleJwtKeys>>> MemoryTrustTable::FindBundleJwtKeys(
    uint64_t sequence_number) {
  const auto row = rows_.trust->bundle_jwt_keys.find(sequence_number);
  if (row == rows_.trust->bundle_jwt_keys.end()) return std::nullopt;
  return row->second;
}

absl::Status MemoryTrustTable::VisitBundleJwtKeys(
    absl::FunctionRef<absl::Status(WithMac<storage::BundleJwtKeys>)> visit) {
  return VisitAll(rows_.trust->bundle_jwt_keys, [&](const auto& row) { return visit(row.second); });
}

absl::Status MemoryTrustTable::InsertBundleJwtKeys(const storage::BundleJwtKeys& keys, absl::string_view mac) {
  rows_.trust.Write().bundle_jwt_keys[keys.sequence_number] = {keys, std::string(mac)};
  return absl::OkStatus();
}

absl::StatusOr<std::optional<WithMac<RootRotation>>> MemoryTrustTable::FindNewestRotation() {
  if (rows_.trust->rotations.empty()) return std::nullopt;
  return rows_.trust->rotations.rbegin()->second;
}

absl::Status MemoryTrustTable::VisitRotations(absl::FunctionRef<absl::Status(WithMac<RootRotation>)> visit) {
  return VisitAll(rows_.trust->rotations, [&](const auto& row) { return visit(row.second); });
}

absl::StatusOr<uint64_t> MemoryTrustTable::FindRunningRotationBeside(uint64_t number) {
  for (const auto& [other, row] : rows_.trust->rotations) {
    if (other != number && !row.value.Ended()) return other;
  }
  return 0;
}

absl::StatusOr<uint64_t> MemoryTrustTable::HighestRotationNumber() {
  return rows_.trust->rotations.empty() ? 0 : rows_.trust->rotations.rbegin()->first;
}

absl::Status MemoryTrustTable::PutRotation(const RootRotation& rotation, absl::string_view mac) {
  rows_.trust.Write().rotations[rotation.number] = {rotation, std::string(mac)};
  return absl::OkStatus();
}

absl::Status MemoryTrustTable::DeleteRotation(uint64_t number) {
  rows_.trust.Write().rotations.erase(number);
  return absl::OkStatus();
}

// ---- settings ----

absl::StatusOr<std::optional<WithMac<storage::SettingRow>>> MemorySettingTable::Find(absl::string_view name) {
  const auto row = rows_.settings->find(std::string(name));
  if (row == rows_.settings->end()) return std::nullopt;
  return row->second;
}

absl::Status MemorySettingTable::Put(absl::string_view name, absl::string_view value, absl::string_view mac) {
  rows_.settings.Write()[std::string(name)] = {{std::string(name), std::string(value)}, std::string(mac)};
  return absl::OkStatus();
}

absl::Status MemorySettingTable::VisitSealed(absl::FunctionRef<absl::Status(WithMac<storage::SettingRow>)> visit) {
  return VisitAll(*rows_.settings,
                  [&](const auto& row) { return row.second.mac.empty() ? absl::OkStatus() : visit(row.second); });
}

// ---- audit ----

absl::StatusOr<storage::AuditTable::Last> MemoryAuditTable::FindLast() {
  if (rows_.audit->empty()) return Last();
  return Last{rows_.audit->back().sequence, rows_.audit->back().hash};
}

absl::Status MemoryAuditTable::Insert(const AuditEntry& entry) {
  rows_.audit.Write().push_back(entry);
  return absl::OkStatus();
}

absl::Status MemoryAuditTable::Visit(absl::FunctionRef<bool(const AuditEntry&)> visit) {
  for (const AuditEntry& entry : *rows_.audit) {
    if (!visit(entry)) break;
  }
  return absl::OkStatus();
}

// ---- tokens ----

absl::Status MemoryTokenTable::Insert(const JoinToken& token, const storage::RowMacs& macs) {
  for (const auto& [id, other] : *rows_.tokens) {
    if (id == token.id || other.value.secret_sha256 == token.secret_sha256) {
      return absl::AlreadyExistsError("a row has this id or this secret");
    }
  }
  rows_.tokens.Write()[token.id] = {token, macs.mac, macs.added_mac};
  return absl::OkStatus();
}

absl::StatusOr<std::optional<WithMac<JoinToken>>> MemoryTokenTable::FindById(absl::string_view id) {
  const auto row = rows_.tokens->find(std::string(id));
  if (row == rows_.tokens->end()) return std::nullopt;
  return row->second;
}

absl::StatusOr<std::optional<WithMac<JoinToken>>> MemoryTokenTable::FindBySecret(absl::string_view secret_sha256) {
  for (const auto& [id, row] : *rows_.tokens) {
    if (row.value.secret_sha256 == secret_sha256) return row;
  }
  return std::nullopt;
}

absl::Status MemoryTokenTable::Visit(absl::FunctionRef<absl::Status(WithMac<JoinToken>)> visit) {
  std::vector<WithMac<JoinToken>> rows;
  for (const auto& [id, row] : *rows_.tokens) rows.push_back(row);
  return VisitAll(OldestFirst(std::move(rows)), visit);
}

absl::Status MemoryTokenTable::WriteUse(const JoinToken& token, absl::string_view mac) {
  WithMac<JoinToken>& row = rows_.tokens.Write()[token.id];
  row.value.used_key_sha256 = token.used_key_sha256;
  row.value.used_at = CutToMicros(token.used_at);
  row.mac = std::string(mac);
  return absl::OkStatus();
}

absl::StatusOr<bool> MemoryTokenTable::Delete(absl::string_view id) {
  return rows_.tokens.Write().erase(std::string(id)) != 0;
}

absl::Status MemoryTokenTable::DeleteOfNode(absl::string_view node) {
  std::erase_if(rows_.tokens.Write(), [&](const auto& row) { return row.second.value.node == node; });
  return absl::OkStatus();
}

absl::Status MemoryTokenTable::DeleteAll() {
  rows_.tokens.Write().clear();
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryTokenTable::Prune(absl::Time expired_before, uint64_t rows_max) {
  uint64_t deleted = 0;
  std::erase_if(rows_.tokens.Write(), [&](const auto& row) {
    if (deleted == rows_max || row.second.value.expires_at >= expired_before) return false;
    ++deleted;
    return true;
  });
  return deleted;
}

// ---- nodes ----

absl::StatusOr<std::optional<WithMac<NodeRecord>>> MemoryNodeTable::Find(absl::string_view node) {
  const auto row = rows_.nodes->find(std::string(node));
  if (row == rows_.nodes->end()) return std::nullopt;
  return row->second;
}

absl::Status MemoryNodeTable::Visit(absl::FunctionRef<absl::Status(WithMac<NodeRecord>)> visit) {
  for (const auto& [name, row] : *rows_.nodes) MESHCA_RETURN_IF_ERROR(visit(row));
  return absl::OkStatus();
}

absl::Status MemoryNodeTable::Put(const NodeRecord& node, absl::string_view mac) {
  NodeRecord kept = node;
  for (absl::Time* time : {&kept.joined_at, &kept.certificate_expires, &kept.banned_at}) *time = CutToMicros(*time);
  rows_.nodes.Write()[node.node] = {std::move(kept), std::string(mac)};
  return absl::OkStatus();
}

absl::StatusOr<bool> MemoryNodeTable::Delete(absl::string_view node) {
  return rows_.nodes.Write().erase(std::string(node)) != 0;
}

// ---- subscribers ----

absl::Status MemorySubscriberTable::Put(const SubscriberRecord& record) {
  rows_.subscribers.Write()[record.instance] = record;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SubscriberRecord>> MemorySubscriberTable::ReadAll() {
  std::vector<SubscriberRecord> records;
  for (const auto& [instance, record] : *rows_.subscribers) records.push_back(record);
  return records;
}

absl::Status MemorySubscriberTable::Delete(const std::string& instance) {
  rows_.subscribers.Write().erase(instance);
  return absl::OkStatus();
}

}  // namespace meshca
