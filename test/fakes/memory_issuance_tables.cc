// Issuances and revocations in memory.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "ca/base/status.h"
#include "ca/x509/encoding.h"
#include "storage/canonical_bytes.h"
#include "storage/renewal_rules.h"
#include "test/fakes/memory_tables.h"

namespace meshca {
namespace {

using Revoked = std::map<std::string, MemoryRevocation>;

// Rows hold microseconds, and certificates whole seconds.
void CutTimes(IssuanceRecord& record) {
  record.not_before = absl::FromUnixSeconds(absl::ToUnixSeconds(record.not_before));
  record.not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(record.not_after));
  record.issued_at = storage::TimeOfMicros(storage::MicrosOf(record.issued_at));
}

// A certificate lives to the end of its last second.
bool IsAlive(const IssuanceRecord& record, absl::Time now) { return now < record.not_after + absl::Seconds(1); }

std::optional<storage::Revocation> FindDone(const MemoryRevocations& revocations, const Revoked& revoked,
                                            absl::string_view key) {
  const auto found = revoked.find(std::string(key));
  if (found == revoked.end()) return std::nullopt;
  const auto operation = revocations.operations.find(found->second.operation);
  if (operation == revocations.operations.end() || !operation->second.done) return std::nullopt;
  return operation->second.revocation;
}

// The record as it is handed out now.
IssuanceRecord WithRevocation(const MemoryRevocations& revocations, const IssuanceRecord& stored) {
  IssuanceRecord record = stored;
  if (const auto revoked = FindDone(revocations, revocations.certificates, stored.serial.bytes())) {
    record.revoked_at = revoked->at;
    record.revocation_reason = revoked->reason;
  }
  return record;
}

bool Matches(const IssuanceFilter& filter, const IssuanceRecord& record) {
  if (!filter.spiffe_id_glob.empty() && !record.spiffe_id.MatchesGlob(filter.spiffe_id_glob)) return false;
  if (record.authority_id.compare(0, filter.authority_id_prefix.size(), filter.authority_id_prefix) != 0) return false;
  if (!filter.node.empty() && record.node != filter.node) return false;
  if (filter.revoked_only && record.revoked_at == absl::InfiniteFuture()) return false;
  return record.not_after < filter.expires_before && record.not_after >= filter.expires_after;
}

bool Selects(const RevocationSelection& selection, const IssuanceRecord& record) {
  if (!selection.serial.empty()) return absl::EqualsIgnoreCase(record.serial.ToHex(), selection.serial);
  if (!selection.spiffe_id_glob.empty()) return record.spiffe_id.MatchesGlob(selection.spiffe_id_glob);
  if (!selection.authority_id_prefix.empty())
    return absl::StartsWith(record.authority_id, selection.authority_id_prefix);
  if (!selection.node.empty()) return record.node == selection.node;
  return record.origin == Origin{OriginKind::kEntry, selection.entry_id};
}

LiveLeaf LeafOf(const IssuanceRecord& record) {
  LiveLeaf leaf;
  leaf.serial = record.serial.ToHex();
  leaf.spiffe_id = record.spiffe_id.uri();
  leaf.instance = record.instance;
  leaf.node = record.node;
  leaf.method = record.method;
  leaf.caller = record.caller;
  leaf.origin = record.origin;
  leaf.authority_id = record.authority_id;
  leaf.not_before = record.not_before;
  leaf.issued_at = record.issued_at;
  leaf.not_after = record.not_after;
  return leaf;
}

const MemoryIssuance* FindRow(const MemoryIssuances& issuances, absl::string_view serial) {
  const auto number = issuances.by_serial.find(serial);
  if (number == issuances.by_serial.end()) return nullptr;
  return &*std::lower_bound(issuances.rows.begin(), issuances.rows.end(), number->second,
                            [](const MemoryIssuance& row, int64_t wanted) { return row.number < wanted; });
}

}  // namespace

absl::Status MemoryIssuanceTable::Insert(const storage::NewIssuance& row) {
  if (rows_.issuances->by_serial.contains(row.record.serial.bytes())) {
    return absl::AlreadyExistsError("a row has this serial number");
  }
  auto record = std::make_shared<IssuanceRecord>(row.record);
  record->origin = row.origin;
  record->line_serial = HexLower(row.line);
  record->node = std::string(row.node);
  record->parent_serial = std::string(row.parent);
  record->presented.reset();
  record->trusted_origins.reset();
  record->node_key.reset();
  CutTimes(*record);
  MemoryIssuances& issuances = rows_.issuances.Write();
  issuances.rows.push_back({++issuances.last_number, record});
  issuances.by_serial.emplace(std::string(record->serial.bytes()), issuances.last_number);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<storage::RecordedCertificate>> MemoryIssuanceTable::FindRecorded(
    absl::string_view serial) {
  const MemoryIssuance* row = FindRow(*rows_.issuances, serial);
  if (row == nullptr) return std::nullopt;
  const IssuanceRecord& record = *row->record;
  storage::RecordedCertificate found;
  found.number = row->number;
  found.serial = std::string(serial);
  found.spiffe_id = record.spiffe_id.uri();
  found.certificate_sha256 = record.certificate_sha256;
  found.method = record.method;
  found.caller = record.caller;
  found.token_id = record.token_id;
  found.node = record.node;
  found.parent = storage::SerialBytes(record.parent_serial).value_or("");
  found.line = storage::SerialBytes(record.line_serial).value_or("");
  found.origin = record.origin;
  found.issued_at = record.issued_at;
  const MemoryRevocations& revocations = *rows_.revocations;
  const std::string& line = found.line.empty() ? found.serial : found.line;
  found.revocation = FindDone(revocations, revocations.certificates, found.serial);
  if (!found.revocation.has_value()) found.revocation = FindDone(revocations, revocations.lines, line);
  if (!found.revocation.has_value()) found.revocation = FindDone(revocations, revocations.keys, record.key_sha256);
  return found;
}

absl::StatusOr<std::optional<IssuanceRecord>> MemoryIssuanceTable::Find(const SerialNumber& serial) {
  const MemoryIssuance* row = FindRow(*rows_.issuances, serial.bytes());
  if (row == nullptr) return std::nullopt;
  return WithRevocation(*rows_.revocations, *row->record);
}

absl::StatusOr<bool> MemoryIssuanceTable::HasCertificate(const SerialNumber& serial,
                                                         absl::string_view certificate_sha256) {
  const MemoryIssuance* row = FindRow(*rows_.issuances, serial.bytes());
  return row != nullptr && row->record->certificate_sha256 == certificate_sha256;
}

absl::Status MemoryIssuanceTable::Visit(const IssuanceFilter& filter,
                                        absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  for (const MemoryIssuance& row : rows_.issuances->rows) {
    const IssuanceRecord record = WithRevocation(*rows_.revocations, *row.record);
    if (Matches(filter, record) && !visit(record)) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryIssuanceTable::CountSignedBy(const std::string& authority_id) {
  const auto& rows = rows_.issuances->rows;
  return std::count_if(rows.begin(), rows.end(),
                       [&](const MemoryIssuance& row) { return row.record->authority_id == authority_id; });
}

absl::StatusOr<std::map<std::string, uint64_t>> MemoryIssuanceTable::CountLive(absl::Time now) {
  std::map<std::string, uint64_t> counts;
  for (const MemoryIssuance& row : rows_.issuances->rows) {
    if (IsAlive(*row.record, now)) ++counts[row.record->authority_id];
  }
  return counts;
}

absl::StatusOr<uint64_t> MemoryIssuanceTable::Prune(absl::Time expired_before, uint64_t rows_max) {
  MemoryIssuances& issuances = rows_.issuances.Write();
  uint64_t deleted = 0;
  std::erase_if(issuances.rows, [&](const MemoryIssuance& row) {
    if (deleted == rows_max || row.record->not_after >= expired_before) return false;
    issuances.by_serial.erase(row.record->serial.bytes());
    ++deleted;
    return true;
  });
  return deleted;
}

absl::StatusOr<std::optional<storage::Revocation>> MemoryRevocationTable::FindLine(absl::string_view line) {
  return FindDone(*rows_.revocations, rows_.revocations->lines, line);
}

absl::StatusOr<std::optional<storage::Revocation>> MemoryRevocationTable::FindKey(absl::string_view key_sha256) {
  return FindDone(*rows_.revocations, rows_.revocations->keys, key_sha256);
}

absl::Status MemoryRevocationTable::VisitCandidates(const storage::RevocableQuery& query,
                                                    storage::VisitRevocable visit) {
  const MemoryRevocations& revocations = *rows_.revocations;
  for (const MemoryIssuance& row : rows_.issuances->rows) {
    const IssuanceRecord& record = *row.record;
    if (row.number <= query.after_number || !IsAlive(record, query.alive_at)) continue;
    if (FindDone(revocations, revocations.certificates, record.serial.bytes()).has_value()) continue;
    const std::string line = storage::SerialBytes(record.line_serial).value_or(std::string(record.serial.bytes()));
    const bool line_unknown =
        record.line_serial.empty() && record.origin.kind == OriginKind::kUnknown && !record.parent_serial.empty();
    const storage::RevocableCertificate certificate{row.number, record.serial.bytes(), line, record.key_sha256,
                                                    absl::ToUnixSeconds(record.not_after)};
    const bool selected = query.selection != nullptr && Selects(*query.selection, record);
    MESHCA_RETURN_IF_ERROR(visit(certificate, line_unknown, selected));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> MemoryRevocationTable::BeginOperation(absl::Time at, RevocationReason reason) {
  MemoryRevocations& revocations = rows_.revocations.Write();
  const absl::Time kept = storage::TimeOfMicros(storage::MicrosOf(at));
  revocations.operations[++revocations.last_operation] = {{kept, static_cast<int>(reason)}, false};
  return revocations.last_operation;
}

absl::Status MemoryRevocationTable::FinishOperation(int64_t operation) {
  rows_.revocations.Write().operations[operation].done = true;
  return absl::OkStatus();
}

namespace {

void PutRevoked(const MemoryRevocations& revocations, Revoked& revoked, absl::string_view key, int64_t not_after,
                int64_t operation) {
  const bool is_done = FindDone(revocations, revoked, key).has_value();
  const auto [row, added] = revoked.try_emplace(std::string(key), MemoryRevocation{not_after, operation});
  row->second.not_after = std::max(row->second.not_after, not_after);
  if (!is_done) row->second.operation = operation;
}

}  // namespace

absl::Status MemoryRevocationTable::PutCertificate(absl::string_view serial, int64_t not_after, int64_t operation) {
  MemoryRevocations& revocations = rows_.revocations.Write();
  PutRevoked(revocations, revocations.certificates, serial, not_after, operation);
  return absl::OkStatus();
}

absl::Status MemoryRevocationTable::PutLine(absl::string_view line, int64_t not_after, int64_t operation) {
  MemoryRevocations& revocations = rows_.revocations.Write();
  PutRevoked(revocations, revocations.lines, line, not_after, operation);
  return absl::OkStatus();
}

absl::Status MemoryRevocationTable::PutKey(absl::string_view key_sha256, int64_t not_after, int64_t operation) {
  MemoryRevocations& revocations = rows_.revocations.Write();
  PutRevoked(revocations, revocations.keys, key_sha256, not_after, operation);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryRevocationTable::Prune(absl::Time expired_before, uint64_t rows_max) {
  MemoryRevocations& revocations = rows_.revocations.Write();
  const auto is_done = [&](int64_t operation) {
    const auto found = revocations.operations.find(operation);
    return found != revocations.operations.end() && found->second.done;
  };
  const bool unfinished = std::any_of(revocations.operations.begin(), revocations.operations.end(),
                                      [](const auto& operation) { return !operation.second.done; });
  uint64_t deleted = 0;
  for (Revoked* revoked : {&revocations.certificates, &revocations.lines, &revocations.keys}) {
    uint64_t of_this_kind = 0;
    std::erase_if(*revoked, [&](const auto& row) {
      const bool goes =
          unfinished ? !is_done(row.second.operation) : absl::FromUnixSeconds(row.second.not_after) < expired_before;
      if (!goes || of_this_kind == rows_max) return false;
      ++of_this_kind;
      return true;
    });
    deleted += of_this_kind;
  }
  if (unfinished && deleted == 0) {
    deleted = std::erase_if(revocations.operations, [](const auto& operation) { return !operation.second.done; });
  }
  return deleted;
}

absl::Status MemoryRevocationTable::PruneOperations() {
  MemoryRevocations& revocations = rows_.revocations.Write();
  std::set<int64_t> named;
  for (const Revoked* revoked : {&revocations.certificates, &revocations.lines, &revocations.keys}) {
    for (const auto& [key, row] : *revoked) named.insert(row.operation);
  }
  std::erase_if(revocations.operations, [&](const auto& operation) { return !named.contains(operation.first); });
  return absl::OkStatus();
}

absl::Status VisitUnreplacedIn(const MemoryRows& rows, const LeafQuery& query,
                               absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  std::map<std::string, std::string> root_of;
  for (const auto& authority : rows.trust->authorities) root_of[authority.value.id] = authority.value.root_id;
  std::set<std::string> parents;
  std::set<std::pair<std::string, std::string>> replaced_instances;
  for (const MemoryIssuance& row : rows.issuances->rows) {
    const IssuanceRecord& record = *row.record;
    parents.insert(record.parent_serial);
    if (record.not_after < query.alive_at || record.instance.empty()) continue;
    const bool replaces =
        query.root_id.empty() ? record.issued_at >= query.issued_before : root_of[record.authority_id] != query.root_id;
    if (replaces) replaced_instances.insert({record.spiffe_id.uri(), record.instance});
  }
  for (const MemoryIssuance& row : rows.issuances->rows) {
    const IssuanceRecord& record = *row.record;
    if (record.not_after < query.alive_at) continue;
    if (!query.root_id.empty() && root_of[record.authority_id] != query.root_id) continue;
    if (record.issued_at >= query.issued_before || record.spiffe_id.uri() == query.except_spiffe_id) continue;
    if (parents.contains(record.serial.ToHex())) continue;
    if (FindDone(*rows.revocations, rows.revocations->certificates, record.serial.bytes()).has_value()) continue;
    if (replaced_instances.contains({record.spiffe_id.uri(), record.instance})) continue;
    if (!visit(LeafOf(record))) break;
  }
  return absl::OkStatus();
}

}  // namespace meshca
