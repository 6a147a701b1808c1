#include "test/fakes/memory_store.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/encoding.h"
#include "storage/audit_chain.h"
#include "storage/canonical_bytes.h"

namespace meshca {
namespace {

using storage::MicrosOf;
using storage::TimeOfMicros;

// Rows hold microseconds, and certificates whole seconds.
void CutTimes(IssuanceRecord& record) {
  record.not_before = absl::FromUnixSeconds(absl::ToUnixSeconds(record.not_before));
  record.not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(record.not_after));
  record.issued_at = TimeOfMicros(MicrosOf(record.issued_at));
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
  leaf.caller = record.caller;
  leaf.authority_id = record.authority_id;
  leaf.issued_at = record.issued_at;
  leaf.not_after = record.not_after;
  return leaf;
}

template <typename Row>
std::vector<Row> OldestFirst(const std::map<std::string, Row>& rows) {
  std::vector<Row> sorted;
  for (const auto& [id, row] : rows) sorted.push_back(row);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Row& a, const Row& b) { return a.created_at < b.created_at; });
  return sorted;
}

}  // namespace

MemoryStore::MemoryStore() = default;

MemoryStore::~MemoryStore() {
  for (Held& held : held_) std::move(held.done)(absl::UnavailableError("database: the server is shutting down"));
}

void MemoryStore::FailWrites(absl::Status why) {
  MutexLock lock(mutex_);
  broken_ = std::move(why);
}

void MemoryStore::HoldAppends(size_t queue_max) {
  MutexLock lock(mutex_);
  held_max_ = queue_max;
}

void MemoryStore::ReleaseAppends() {
  std::vector<Held> held;
  std::vector<absl::Status> results;
  {
    MutexLock lock(mutex_);
    held_max_.reset();
    held.swap(held_);
    for (Held& one : held) results.push_back(AppendLocked(std::move(one.record)));
  }
  for (size_t i = 0; i < held.size(); ++i) std::move(held[i].done)(std::move(results[i]));
}

void MemoryStore::AbortAppends(int times) {
  MutexLock lock(mutex_);
  aborts_ = times;
}

void MemoryStore::Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) {
  absl::Status result;
  {
    MutexLock lock(mutex_);
    if (held_max_.has_value()) {
      if (held_.size() < *held_max_) {
        held_.push_back({*record, std::move(done)});
        return;
      }
      result = absl::ResourceExhaustedError("database: the queue is full");
    } else {
      result = AppendLocked(*record);
    }
  }
  std::move(done)(std::move(result));
}

class MemoryStore::Rows final : public storage::Inventory {
 public:
  explicit Rows(const MemoryStore& store) : store_(store) {}

  absl::StatusOr<std::optional<storage::RecordedCertificate>> FindRecorded(absl::string_view serial) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_.mutex_) {
    for (size_t i = 0; i < store_.issuances_.size(); ++i) {
      const IssuanceRecord& record = store_.issuances_[i];
      if (record.serial.bytes() != serial) continue;
      storage::RecordedCertificate found;
      found.number = static_cast<int64_t>(i);
      found.serial = std::string(serial);
      found.spiffe_id = record.spiffe_id.uri();
      found.certificate_sha256 = record.certificate_sha256;
      found.method = record.method;
      found.caller = record.caller;
      found.token_id = record.token_id;
      found.parent = storage::SerialBytes(record.parent_serial).value_or("");
      found.line = storage::SerialBytes(record.line_serial).value_or("");
      found.origin = record.origin;
      found.issued_at = record.issued_at;
      const std::string& line = found.line.empty() ? found.serial : found.line;
      found.revocation = Find(store_.revoked_certificates_, found.serial);
      if (!found.revocation.has_value()) found.revocation = Find(store_.revoked_lines_, line);
      if (!found.revocation.has_value()) found.revocation = Find(store_.revoked_keys_, record.key_sha256);
      return found;
    }
    return std::nullopt;
  }
  absl::StatusOr<std::optional<storage::Revocation>> FindRevokedLine(absl::string_view line) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_.mutex_) {
    return Find(store_.revoked_lines_, std::string(line));
  }
  absl::StatusOr<bool> HasEntry(const std::string& id, const SpiffeId& spiffe_id, absl::Time issued_at) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_.mutex_) {
    return std::any_of(store_.entries_.begin(), store_.entries_.end(), [&](const auto& entry) {
      const bool is_it = id.empty() || (entry.first == id && entry.second.created_at <= issued_at);
      return is_it && entry.second.spiffe_id == spiffe_id;
    });
  }
  absl::StatusOr<std::vector<StoredAuthority>> Authorities() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_.mutex_) {
    return store_.trust_.authorities;
  }

 private:
  static std::optional<storage::Revocation> Find(const std::map<std::string, storage::Revocation>& revoked,
                                                 const std::string& key) {
    const auto found = revoked.find(key);
    return found == revoked.end() ? std::nullopt : std::optional(found->second);
  }
  const MemoryStore& store_;
};

absl::Status MemoryStore::AppendLocked(IssuanceRecord record) {
  MESHCA_RETURN_IF_ERROR(broken_);
  if (aborts_ > 0) {
    --aborts_;
    return absl::AbortedError("issuance: told to abort");
  }
  if (serials_.count(record.serial) != 0) {
    return absl::AlreadyExistsError(absl::StrCat("issuance: serial number ", record.serial.ToHex(), " is taken"));
  }
  const bool signs =
      std::any_of(trust_.authorities.begin(), trust_.authorities.end(), [&](const StoredAuthority& authority) {
        return authority.id == record.authority_id && authority.state == AuthorityState::kActive;
      });
  if (!signs) return absl::AbortedError(absl::StrCat("issuance: authority ", record.authority_id, " does not sign"));
  record.line_serial.clear();
  bool unrecorded = false;
  if (record.presented.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(storage::InheritedRight right, InheritLocked(record));
    record.origin = std::move(right.origin);
    record.line_serial = HexLower(right.line);
    unrecorded = right.unrecorded;
  } else {
    Rows rows(*this);
    MESHCA_RETURN_IF_ERROR(storage::CheckFirstRight(rows, record));
    MESHCA_ASSIGN_OR_RETURN(const std::string line, storage::JudgeReplacement(rows, record));
    record.line_serial = HexLower(line);
  }
  if (const auto key = revoked_keys_.find(record.key_sha256); key != revoked_keys_.end()) {
    return storage::KeyIsRevoked(key->second);
  }
  MESHCA_RETURN_IF_ERROR(RedeemLocked(record));
  if (unrecorded) AuditLocked(storage::UnrecordedRenewal(record));
  record.presented.reset();
  record.trusted_issuers.reset();
  CutTimes(record);
  serials_.emplace(record.serial, record.not_after);
  issuances_.push_back(std::move(record));
  return absl::OkStatus();
}

absl::StatusOr<storage::InheritedRight> MemoryStore::InheritLocked(const IssuanceRecord& record) {
  MESHCA_RETURN_IF_ERROR(storage::CheckSameId(record));
  Rows rows(*this);
  return storage::JudgeRenewal(rows, *record.presented, record.trusted_issuers.get());
}

void MemoryStore::MarkRevokedLocked(IssuanceRecord& record) const {
  const auto revoked = revoked_certificates_.find(std::string(record.serial.bytes()));
  if (revoked == revoked_certificates_.end()) return;
  record.revoked_at = revoked->second.at;
  record.revocation_reason = revoked->second.reason;
}

absl::Status MemoryStore::RedeemLocked(const IssuanceRecord& record) {
  if (record.token_id.empty()) return absl::OkStatus();
  auto token = tokens_.find(record.token_id);
  if (token == tokens_.end()) {
    return WithReason(absl::UnauthenticatedError("join token: unknown"), storage::kTokenUnknown);
  }
  if (record.issued_at >= token->second.expires_at) {
    return WithReason(absl::UnauthenticatedError("join token: expired"), storage::kTokenExpired);
  }
  std::string& used_by = token->second.used_key_sha256;
  if (!used_by.empty() && used_by != record.key_sha256) {
    return WithReason(absl::UnauthenticatedError("join token: used for another key"), storage::kTokenUsed);
  }
  if (used_by.empty()) token->second.used_at = TimeOfMicros(MicrosOf(record.issued_at));
  used_by = record.key_sha256;
  return absl::OkStatus();
}

absl::StatusOr<IssuanceRecord> MemoryStore::Find(const SerialNumber& serial) {
  MutexLock lock(mutex_);
  for (IssuanceRecord record : issuances_) {
    if (record.serial != serial) continue;
    MarkRevokedLocked(record);
    return record;
  }
  return absl::NotFoundError(absl::StrCat("issuance: no certificate with serial number ", serial.ToHex()));
}

absl::Status MemoryStore::List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  std::vector<IssuanceRecord> records;
  {
    MutexLock lock(mutex_);
    records = issuances_;
    for (IssuanceRecord& record : records) MarkRevokedLocked(record);
  }
  for (const IssuanceRecord& record : records) {
    if (Matches(filter, record) && !visit(record)) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryStore::CountIssuances() {
  MutexLock lock(mutex_);
  return issuances_.size();
}

absl::StatusOr<IssuanceRecord> MemoryStore::JudgePresented(
    const PresentedCertificate& shown, const std::shared_ptr<const std::vector<std::string>>& trusted_issuers) {
  MutexLock lock(mutex_);
  Rows rows(*this);
  MESHCA_ASSIGN_OR_RETURN(storage::InheritedRight right, storage::JudgeRenewal(rows, shown, trusted_issuers.get()));
  IssuanceRecord record;
  record.spiffe_id = shown.spiffe_id;
  if (right.unrecorded) return record;
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, SerialNumber::FromHex(shown.serial));
  record = *std::find_if(issuances_.begin(), issuances_.end(),
                         [&](const IssuanceRecord& issued) { return issued.serial == serial; });
  record.origin = std::move(right.origin);
  if (record.line_serial.empty() && right.line != serial.bytes()) record.line_serial = HexLower(right.line);
  return record;
}

absl::Status MemoryStore::PlanLocked(const RevocationSelection& selection, absl::Time now,
                                     storage::RevocationPlan& plan) {
  Rows rows(*this);
  storage::Inventory& inventory = rows;  // whose calls Clang does not hold to this store's lock by another name
  do {
    for (size_t i = 0; i < issuances_.size(); ++i) {
      const IssuanceRecord& record = issuances_[i];
      const std::string serial(record.serial.bytes());
      if (now >= record.not_after + absl::Seconds(1) || revoked_certificates_.count(serial) != 0) continue;
      absl::StatusOr<std::optional<storage::RecordedCertificate>> recorded = inventory.FindRecorded(serial);
      MESHCA_RETURN_IF_ERROR(recorded.status());
      MESHCA_ASSIGN_OR_RETURN(const std::string line, storage::LineOf(rows, std::move(recorded)->value()));
      storage::RevocableCertificate certificate{static_cast<int64_t>(i), serial, line, record.key_sha256,
                                                absl::ToUnixSeconds(record.not_after)};
      plan.Offer(certificate, Selects(selection, record));
    }
  } while (plan.Growing());
  return absl::OkStatus();
}

absl::StatusOr<RevocationResult> MemoryStore::Revoke(const RevocationSelection& selection, RevocationReason reason,
                                                     bool dry_run, const AuditEntry& audit,
                                                     absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  MESHCA_RETURN_IF_ERROR(storage::CheckSelection(selection));
  storage::RevocationPlan plan;
  {
    MutexLock lock(mutex_);
    MESHCA_RETURN_IF_ERROR(broken_);
    MESHCA_RETURN_IF_ERROR(PlanLocked(selection, audit.time, plan));
    if (plan.certificates().empty()) return storage::NothingToRevoke(selection);
    const storage::Revocation revocation{TimeOfMicros(MicrosOf(audit.time)), static_cast<int>(reason)};
    for (const auto& certificate : plan.certificates()) {
      if (dry_run) break;
      revoked_certificates_.emplace(certificate.serial, revocation);
      revoked_lines_.emplace(certificate.line, revocation);
      revoked_keys_.emplace(certificate.key_sha256, revocation);
    }
    if (!dry_run) {
      AuditLocked(storage::RevocationAudit(audit, selection, reason, plan.certificates().size(), plan.lines().size()));
    }
  }
  for (const auto& certificate : plan.certificates()) {
    MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, SerialNumber::FromBytes(certificate.serial));
    MESHCA_ASSIGN_OR_RETURN(const IssuanceRecord record, Find(serial));
    if (!visit(record)) break;
  }
  return RevocationResult{plan.certificates().size(), plan.lines().size()};
}

absl::Status MemoryStore::Backup(const std::string&, const AuditEntry&) {
  return absl::UnimplementedError("backup: this store is memory");
}

absl::Status MemoryStore::Check() {
  MutexLock lock(mutex_);
  std::string hash;
  uint64_t sequence = 0;
  for (const AuditEntry& entry : audit_) {
    if (!storage::AuditEntryFollows(hash, sequence, entry)) return absl::DataLossError("audit log: broken chain");
    hash = entry.hash;
    sequence = entry.sequence;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryStore::Prune(absl::Time expired_before, uint64_t rows_max) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  uint64_t deleted = 0;
  auto end = std::remove_if(issuances_.begin(), issuances_.end(), [&](const IssuanceRecord& record) {
    if (deleted == rows_max || record.not_after >= expired_before) return false;
    mutex_.AssertHeld();
    serials_.erase(record.serial);
    ++deleted;
    return true;
  });
  issuances_.erase(end, issuances_.end());
  std::erase_if(tokens_, [&](const auto& each) {
    if (deleted == rows_max || each.second.expires_at >= expired_before) return false;
    ++deleted;
    return true;
  });
  return deleted;
}

absl::Status MemoryStore::Probe() {
  MutexLock lock(mutex_);
  return broken_;
}

StoreHealth MemoryStore::Health() const {
  MutexLock lock(mutex_);
  StoreHealth health;
  health.writable = broken_;
  health.queued = held_.size();
  health.batches = health.records = issuances_.size();
  health.schema_version = 1;
  return health;
}

absl::Status MemoryStore::RecordAudit(const AuditEntry& audit) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  AuditLocked(audit);
  return absl::OkStatus();
}

absl::Status MemoryStore::ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) {
  std::vector<AuditEntry> entries;
  {
    MutexLock lock(mutex_);
    entries = audit_;
  }
  for (const AuditEntry& entry : entries) {
    if (!visit(entry)) break;
  }
  return absl::OkStatus();
}

void MemoryStore::AuditLocked(AuditEntry entry) {
  const bool first = audit_.empty();
  storage::ChainAuditEntry(first ? "" : audit_.back().hash, first ? 0 : audit_.back().sequence, entry);
  audit_.push_back(std::move(entry));
}

absl::StatusOr<AuthoritiesAndBundle> MemoryStore::LoadAuthorities() {
  MutexLock lock(mutex_);
  AuthoritiesAndBundle trust = trust_;
  if (!rotations_.empty()) trust.rotation = rotations_.rbegin()->second;
  return trust;
}

absl::Status MemoryStore::CheckChangeLocked(const AuthorityChange& change) const {
  if (change.audit.empty()) return absl::InvalidArgumentError("authorities: a change of trust needs an audit entry");
  if (change.expected_revision != trust_.revision) {
    return absl::AbortedError(absl::StrCat("authorities: judged on revision ", change.expected_revision,
                                           ", the store is at ", trust_.revision));
  }
  if (!trust_.trust_domain.empty() && change.trust_domain != trust_.trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat("authorities: this store belongs to trust domain ",
                                                      trust_.trust_domain, ", not ", change.trust_domain));
  }
  if (change.bundle && trust_.bundle && change.bundle->sequence_number <= trust_.bundle->sequence_number) {
    return absl::FailedPreconditionError(absl::StrCat("trust bundle: sequence number ", change.bundle->sequence_number,
                                                      " is not above ", trust_.bundle->sequence_number));
  }
  for (const IssuanceRecord& record : issuances_) {
    const auto& forgotten = change.forgotten_authorities;
    if (std::find(forgotten.begin(), forgotten.end(), record.authority_id) != forgotten.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("authorities: ", record.authority_id, " has signed certificates that are on record"));
    }
  }
  return CheckRotationLocked(change);
}

absl::Status MemoryStore::CheckRotationLocked(const AuthorityChange& change) const {
  if (!change.rotation) return absl::OkStatus();
  const uint64_t number = change.rotation->number;
  if (number == 0) return absl::InvalidArgumentError("rotation: the first number is 1");
  bool known = false;
  uint64_t highest = 0;
  for (const auto& [other, rotation] : rotations_) {
    if (other == change.forgotten_rotation) continue;
    if (other != number && !rotation.Ended()) {
      return absl::FailedPreconditionError(
          absl::StrCat("rotation ", number, ": rotation ", other, " has not ended (meshca root status)"));
    }
    known |= other == number;
    highest = other;
  }
  if (known || number > highest) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("rotation ", number, ": its number is not above ", highest));
}

absl::StatusOr<uint64_t> MemoryStore::CommitAuthorities(const AuthorityChange& change) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  MESHCA_RETURN_IF_ERROR(CheckChangeLocked(change));
  trust_.trust_domain = change.trust_domain;
  for (const std::string& id : change.forgotten_authorities) {
    auto& rows = trust_.authorities;
    rows.erase(std::remove_if(rows.begin(), rows.end(), [&](const StoredAuthority& row) { return row.id == id; }),
               rows.end());
  }
  for (const StoredAuthority& authority : change.authorities) {
    auto row = std::find_if(trust_.authorities.begin(), trust_.authorities.end(),
                            [&](const StoredAuthority& other) { return other.id == authority.id; });
    if (row == trust_.authorities.end()) {
      trust_.authorities.push_back(authority);
    } else {
      *row = authority;
    }
  }
  if (change.bundle) trust_.bundle = change.bundle;
  rotations_.erase(change.forgotten_rotation);
  if (change.rotation) rotations_[change.rotation->number] = *change.rotation;
  for (const auto& [name, value] : change.sealed_settings) {
    settings_[name] = value;
    sealed_settings_.insert(name);
  }
  for (const AuditEntry& entry : change.audit) AuditLocked(entry);
  return ++trust_.revision;
}

absl::StatusOr<std::map<std::string, uint64_t>> MemoryStore::CountLiveLeaves(absl::Time now) {
  MutexLock lock(mutex_);
  std::map<std::string, uint64_t> counts;
  for (const IssuanceRecord& record : issuances_) {
    if (now < record.not_after + absl::Seconds(1)) ++counts[record.authority_id];
  }
  return counts;
}

absl::Status MemoryStore::VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  std::vector<IssuanceRecord> live;
  std::map<std::string, std::string> root_of;
  std::set<std::string> parents;
  std::set<std::string> revoked;
  {
    MutexLock lock(mutex_);
    for (const IssuanceRecord& record : issuances_) parents.insert(record.parent_serial);
    std::copy_if(issuances_.begin(), issuances_.end(), std::back_inserter(live),
                 [&](const IssuanceRecord& record) { return record.not_after >= query.alive_at; });
    for (const auto& [serial, revocation] : revoked_certificates_) revoked.insert(HexLower(serial));
    for (const StoredAuthority& authority : trust_.authorities) root_of[authority.id] = authority.root_id;
  }
  std::set<std::pair<std::string, std::string>> instances;
  for (const IssuanceRecord& record : live) {
    const bool replaces =
        query.root_id.empty() ? record.issued_at >= query.issued_before : root_of[record.authority_id] != query.root_id;
    if (!replaces) continue;
    if (!record.instance.empty()) instances.insert({record.spiffe_id.uri(), record.instance});
  }
  for (const IssuanceRecord& record : live) {
    if (!query.root_id.empty() && root_of[record.authority_id] != query.root_id) continue;
    if (record.issued_at >= query.issued_before || record.spiffe_id.uri() == query.except_spiffe_id) continue;
    if (parents.count(record.serial.ToHex()) != 0 || revoked.count(record.serial.ToHex()) != 0) continue;
    if (instances.count({record.spiffe_id.uri(), record.instance}) != 0) continue;
    if (!visit(LeafOf(record))) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MemoryStore::GetSetting(absl::string_view name) {
  MutexLock lock(mutex_);
  auto setting = settings_.find(std::string(name));
  if (setting == settings_.end()) return absl::NotFoundError(absl::StrCat("setting ", name, " was never set"));
  return setting->second;
}

absl::Status MemoryStore::PutSetting(absl::string_view name, absl::string_view value) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  settings_[std::string(name)] = std::string(value);
  sealed_settings_.erase(std::string(name));
  return absl::OkStatus();
}

absl::StatusOr<std::string> MemoryStore::GetSealedSetting(absl::string_view name) {
  MESHCA_ASSIGN_OR_RETURN(std::string value, GetSetting(name));
  MutexLock lock(mutex_);
  if (sealed_settings_.count(std::string(name)) == 0) {
    return absl::DataLossError(absl::StrCat("setting ", name, ": it has no seal"));
  }
  return value;
}

absl::Status MemoryStore::PutSealedSetting(absl::string_view name, absl::string_view value) {
  MESHCA_RETURN_IF_ERROR(PutSetting(name, value));
  MutexLock lock(mutex_);
  sealed_settings_.insert(std::string(name));
  return absl::OkStatus();
}

void MemoryStore::SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) {
  absl::Status result;
  {
    MutexLock lock(mutex_);
    result = broken_;
    for (SubscriberRecord& row : rows) {
      if (result.ok()) subscribers_[row.instance] = row;
    }
  }
  std::move(done)(std::move(result));
}

absl::StatusOr<std::vector<SubscriberRecord>> MemoryStore::LoadSubscribers() {
  MutexLock lock(mutex_);
  std::vector<SubscriberRecord> rows;
  for (const auto& [instance, row] : subscribers_) rows.push_back(row);
  return rows;
}

void MemoryStore::DeleteSubscribers(std::vector<std::string> instances, SaveDone done) {
  absl::Status result;
  {
    MutexLock lock(mutex_);
    result = broken_;
    for (const std::string& instance : instances) {
      if (result.ok()) subscribers_.erase(instance);
    }
  }
  std::move(done)(std::move(result));
}

absl::Status MemoryStore::CreateToken(const JoinToken& token, const AuditEntry& audit) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  for (const auto& [id, other] : tokens_) {
    if (id == token.id || other.secret_sha256 == token.secret_sha256) {
      return absl::AlreadyExistsError(absl::StrCat("join token: ", id, " exists"));
    }
  }
  tokens_.emplace(token.id, token);
  AuditLocked(audit);
  return absl::OkStatus();
}

absl::StatusOr<JoinToken> MemoryStore::FindToken(absl::string_view secret_sha256) {
  MutexLock lock(mutex_);
  for (const auto& [id, token] : tokens_) {
    if (absl::string_view(token.secret_sha256) == secret_sha256) return token;
  }
  return absl::NotFoundError("join token: unknown");
}

absl::StatusOr<std::vector<JoinToken>> MemoryStore::ListTokens() {
  MutexLock lock(mutex_);
  return OldestFirst(tokens_);
}

absl::Status MemoryStore::DeleteToken(absl::string_view id, const AuditEntry& audit) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  if (tokens_.erase(std::string(id)) == 0) return absl::NotFoundError(absl::StrCat("join token: no token ", id));
  AuditLocked(audit);
  return absl::OkStatus();
}

absl::Status MemoryStore::CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) {
  MutexLock lock(mutex_);
  if (entries_.contains(entry.id)) return absl::AlreadyExistsError(absl::StrCat("entry ", entry.id, " is there"));
  return PutEntryLocked(entry, audit);
}

absl::Status MemoryStore::PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) {
  MutexLock lock(mutex_);
  return PutEntryLocked(entry, audit);
}

absl::Status MemoryStore::PutEntryLocked(const RegistrationEntry& entry, const AuditEntry& audit) {
  MESHCA_RETURN_IF_ERROR(broken_);
  for (const auto& [id, other] : entries_) {
    if (id != entry.id && other.spiffe_id == entry.spiffe_id && other.selectors == entry.selectors) {
      return absl::AlreadyExistsError(
          absl::StrCat("entry: ", id, " already gives ", entry.spiffe_id.uri(), " to these selectors"));
    }
  }
  entries_[entry.id] = entry;
  AuditLocked(audit);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RegistrationEntry>> MemoryStore::ListEntries() {
  MutexLock lock(mutex_);
  return OldestFirst(entries_);
}

absl::Status MemoryStore::DeleteEntry(absl::string_view id, const AuditEntry& audit) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  if (entries_.erase(std::string(id)) == 0) return absl::NotFoundError(absl::StrCat("entry: no entry ", id));
  AuditLocked(audit);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryStore::BeginApply() {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  applies_[++last_apply_];
  return last_apply_;
}

absl::Status MemoryStore::StageEntries(uint64_t apply, std::span<const GivenEntry> part, size_t* at) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  const auto given = applies_.find(apply);
  if (given == applies_.end()) return absl::NotFoundError("no such apply");
  for (*at = 0; *at < part.size(); ++*at) {
    const RegistrationEntry& entry = part[*at].entry;
    for (const GivenEntry& before : given->second) {
      if (before.entry.id == entry.id) {
        return absl::InvalidArgumentError(absl::StrCat("a second entry with id \"", entry.id, "\""));
      }
      if (before.entry.spiffe_id == entry.spiffe_id && before.entry.selectors == entry.selectors) {
        return absl::InvalidArgumentError(
            absl::StrCat("a second entry that gives ", entry.spiffe_id.uri(), " to the same selectors"));
      }
    }
    given->second.push_back(part[*at]);
  }
  return absl::OkStatus();
}

absl::StatusOr<EntryApplyCounts> MemoryStore::FinishApply(uint64_t apply, const EntryApplyOptions& options,
                                                          const AuditEntry& audit, const EntryApplyListener& listener,
                                                          uint64_t* at) {
  MutexLock lock(mutex_);
  MESHCA_RETURN_IF_ERROR(broken_);
  auto node = applies_.extract(apply);
  if (node.empty()) return absl::NotFoundError("no such apply");
  std::map<std::string, RegistrationEntry> after = options.prune ? decltype(after)() : entries_;
  EntryApplyCounts counts;
  std::vector<AuditEntry> lines;
  const auto line = [&](const char* action, const std::string& id) {
    AuditEntry entry = audit;
    entry.action = action;
    entry.target = id;
    lines.push_back(std::move(entry));
  };
  const auto holder = [](const auto& entries, const RegistrationEntry& entry) -> std::string {
    for (const auto& [id, other] : entries) {
      if (other.spiffe_id == entry.spiffe_id && other.selectors == entry.selectors) return id;
    }
    return "";
  };
  std::vector<RegistrationEntry> given;
  for (GivenEntry& one : node.mapped()) {
    const std::string same = holder(entries_, one.entry);
    if (one.id_made && !same.empty()) one.entry.id = same;
    after.erase(one.entry.id);
    given.push_back(std::move(one.entry));
  }
  for (*at = 0; *at < given.size(); ++*at) {
    const RegistrationEntry& entry = given[*at];
    if (const std::string other = holder(after, entry); !other.empty()) {
      return absl::AlreadyExistsError(
          absl::StrCat("entry ", other, " already gives ", entry.spiffe_id.uri(), " to these selectors"));
    }
    const auto old = entries_.find(entry.id);
    const bool same = old != entries_.end() && old->second.spiffe_id == entry.spiffe_id &&
                      old->second.selectors == entry.selectors && old->second.ttl == entry.ttl &&
                      old->second.dns_names == entry.dns_names;
    after[entry.id] = same ? old->second : entry;
    ++(same ? counts.unchanged : old == entries_.end() ? counts.created : counts.replaced);
    listener.visit(same                    ? EntryVerdict::kUnchanged
                   : old == entries_.end() ? EntryVerdict::kCreated
                                           : EntryVerdict::kReplaced,
                   entry.id);
    if (!same) line("entry.apply", entry.id);
  }
  for (const auto& [id, old] : entries_) {
    if (after.contains(id)) continue;
    ++counts.deleted;
    listener.visit(EntryVerdict::kDeleted, id);
    line("entry.delete", id);
  }
  if (options.dry_run) return counts;
  entries_ = std::move(after);
  for (AuditEntry& entry : lines) AuditLocked(std::move(entry));
  return counts;
}

void MemoryStore::DropApply(uint64_t apply) {
  MutexLock lock(mutex_);
  applies_.erase(apply);
}

}  // namespace meshca
