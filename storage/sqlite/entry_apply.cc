#include "storage/sqlite/entry_apply.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "storage/canonical_bytes.h"
#include "storage/sqlite/access_rows.h"
#include "storage/sqlite/audit_rows.h"

namespace meshca::storage {
namespace {

// Rows of one transaction: issuance waits a few milliseconds for it.
constexpr int kChunk = 200;

std::string Selectors(const RegistrationEntry& entry) { return CanonicalBytes().AddAll(entry.selectors).bytes(); }

// A row of an apply that is being judged.
struct StagedRow {
  int64_t ref = 0;
  uint64_t place = 0;
  bool id_made = false;
  RegistrationEntry entry;
};

// What is to be written of a judged row.
struct Judged {
  StagedRow row;
  EntryVerdict verdict = EntryVerdict::kCreated;
  bool takes_id = false;     // row.entry.id is that of the living entry with the same rights
  int64_t replaced_ref = 0;  // of the living row
};

absl::Status InsertStaged(Database& database, const KeyEncryption& keys, uint64_t apply, uint64_t place,
                          const GivenEntry& given) {
  const RegistrationEntry& entry = given.entry;
  const std::string selectors = Selectors(entry);
  const std::string dns_names = CanonicalBytes().AddAll(entry.dns_names).bytes();
  const std::string mac = EntryMac(entry, keys);
  return Query(database,
               "INSERT INTO entry(id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, since, place,"
               " id_made) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(entry.id)
      .Bind(entry.spiffe_id.uri())
      .BindBlob(selectors)
      .Bind(absl::ToInt64Microseconds(entry.ttl))
      .BindBlob(dns_names)
      .Bind(entry.created_at)
      .Bind(entry.created_by)
      .BindBlob(mac)
      .Bind(apply)
      .Bind(place)
      .Bind(given.id_made)
      .Run();
}

// Why a row of the apply could not be added beside those before it.
absl::Status Twice(Database& database, uint64_t apply, const RegistrationEntry& entry) {
  Query same(database, "SELECT place FROM entry WHERE id = ? AND since = ?");
  same.Bind(entry.id).Bind(apply);
  if (same.Next()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a second entry with id \"", entry.id, "\"; the first is entry ", same.Uint() + 1));
  }
  MESHCA_RETURN_IF_ERROR(same.status());
  return absl::InvalidArgumentError(
      absl::StrCat("a second entry that gives ", entry.spiffe_id.uri(), " to the same selectors"));
}

absl::StatusOr<std::vector<StagedRow>> NextStaged(Database& database, const KeyEncryption& keys, uint64_t apply,
                                                  int64_t after) {
  std::vector<StagedRow> rows;
  Query query(database,
              "SELECT ref, place, id_made, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac"
              " FROM entry WHERE since = ? AND since <> 0 AND place > ? ORDER BY place LIMIT ?");
  query.Bind(apply).Bind(after).Bind(kChunk);
  while (query.Next()) {
    StagedRow row;
    row.ref = query.Int();
    row.place = query.Uint();
    row.id_made = query.Int() != 0;
    MESHCA_ASSIGN_OR_RETURN(row.entry, ReadEntry(query, keys));
    rows.push_back(std::move(row));
  }
  MESHCA_RETURN_IF_ERROR(query.status());
  return rows;
}

// The id of the living entry with the rights of `entry`; "": there is none.
absl::StatusOr<std::string> HolderOf(Database& database, const RegistrationEntry& entry) {
  const std::string selectors = Selectors(entry);
  Query holder(database, "SELECT id FROM live_entry WHERE spiffe_id = ? AND selectors = ?");
  holder.Bind(entry.spiffe_id.uri()).BindBlob(selectors);
  std::string id = holder.Next() ? holder.String() : "";
  MESHCA_RETURN_IF_ERROR(holder.status());
  return id;
}

absl::StatusOr<bool> IsGiven(Database& database, uint64_t apply, const std::string& id) {
  Query given(database, "SELECT 1 FROM entry WHERE id = ? AND since = ?");
  given.Bind(id).Bind(apply);
  const bool is_given = given.Next();
  MESHCA_RETURN_IF_ERROR(given.status());
  return is_given;
}

absl::StatusOr<Judged> Judge(Database& database, const KeyEncryption& keys, uint64_t apply, bool prune, StagedRow row) {
  Judged judged;
  MESHCA_ASSIGN_OR_RETURN(const std::string holder, HolderOf(database, row.entry));
  if (!holder.empty() && holder != row.entry.id) {
    if (row.id_made) {
      judged.takes_id = true;
      row.entry.id = holder;
    } else if (!prune) {
      // One that is given too holds other rights afterwards: two of one apply never have the same.
      MESHCA_ASSIGN_OR_RETURN(const bool changes, IsGiven(database, apply, holder));
      if (!changes) {
        return absl::AlreadyExistsError(absl::StrCat("entry ", holder, " already gives ", row.entry.spiffe_id.uri(),
                                                     " to these selectors; give it that id, or delete it first"));
      }
    }
  }
  Query living(database,
               "SELECT ref, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac FROM live_entry"
               " WHERE id = ?");
  living.Bind(row.entry.id);
  if (living.Next()) {
    const int64_t ref = living.Int();
    MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry old, ReadEntry(living, keys));
    const bool same = old.spiffe_id == row.entry.spiffe_id && old.selectors == row.entry.selectors &&
                      old.ttl == row.entry.ttl && old.dns_names == row.entry.dns_names;
    judged.verdict = same ? EntryVerdict::kUnchanged : EntryVerdict::kReplaced;
    judged.replaced_ref = same ? 0 : ref;
  }
  MESHCA_RETURN_IF_ERROR(living.status());
  judged.row = std::move(row);
  return judged;
}

absl::Status MarkReplaced(Database& database, uint64_t apply, int64_t ref) {
  return Query(database, "UPDATE entry SET until = ? WHERE ref = ?").Bind(apply).Bind(ref).Run();
}

absl::Status WriteVerdict(Database& database, const KeyEncryption& keys, uint64_t apply, const Judged& judged) {
  if (judged.takes_id) {
    const std::string mac = EntryMac(judged.row.entry, keys);
    const absl::Status taken = Query(database, "UPDATE entry SET id = ?, mac = ? WHERE ref = ?")
                                   .Bind(judged.row.entry.id)
                                   .BindBlob(mac)
                                   .Bind(judged.row.ref)
                                   .Run();
    if (absl::IsAlreadyExists(taken)) return Twice(database, apply, judged.row.entry);
    MESHCA_RETURN_IF_ERROR(taken);
  }
  if (judged.verdict == EntryVerdict::kUnchanged) {
    return Query(database, "UPDATE entry SET unchanged = 1 WHERE ref = ?").Bind(judged.row.ref).Run();
  }
  return judged.replaced_ref == 0 ? absl::OkStatus() : MarkReplaced(database, apply, judged.replaced_ref);
}

uint64_t& CountOf(EntryApplyCounts& counts, EntryVerdict verdict) {
  switch (verdict) {
    case EntryVerdict::kCreated: return counts.created;
    case EntryVerdict::kReplaced: return counts.replaced;
    case EntryVerdict::kUnchanged: return counts.unchanged;
    case EntryVerdict::kDeleted: break;
  }
  return counts.deleted;
}

// Judges the rows behind `after`, a chunk, and moves it on; false: there were none.
absl::StatusOr<bool> JudgeChunk(const ApplyAccess& access, uint64_t apply, bool prune,
                                const EntryApplyListener& listener, int64_t& after, EntryApplyCounts& counts,
                                uint64_t* at) {
  std::vector<Judged> judged;
  MESHCA_RETURN_IF_ERROR(access.read([&](Database& database) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(std::vector<StagedRow> rows, NextStaged(database, access.keys, apply, after));
    for (StagedRow& row : rows) {
      *at = row.place;
      MESHCA_ASSIGN_OR_RETURN(Judged one, Judge(database, access.keys, apply, prune, std::move(row)));
      judged.push_back(std::move(one));
    }
    return absl::OkStatus();
  }));
  if (judged.empty()) return false;
  const bool writes = std::any_of(judged.begin(), judged.end(), [](const Judged& one) {
    return one.takes_id || one.verdict != EntryVerdict::kCreated;
  });
  if (writes) {
    MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) -> absl::Status {
      for (const Judged& one : judged) {
        *at = one.row.place;
        MESHCA_RETURN_IF_ERROR(WriteVerdict(database, access.keys, apply, one));
      }
      return absl::OkStatus();
    }));
  }
  for (const Judged& one : judged) {
    ++CountOf(counts, one.verdict);
    listener.visit(one.verdict, one.row.entry.id);
  }
  after = static_cast<int64_t>(judged.back().row.place);
  return true;
}

// Marks the living rows behind `after` that were not given, a chunk, and moves it on; false: there were none.
absl::StatusOr<bool> PruneEntryChunk(const ApplyAccess& access, uint64_t apply, const EntryApplyListener& listener,
                                     int64_t& after, EntryApplyCounts& counts) {
  std::vector<std::pair<int64_t, std::string>> absent;
  MESHCA_RETURN_IF_ERROR(access.read([&](Database& database) {
    Query rows(database,
               "SELECT ref, id FROM live_entry WHERE ref > ? AND NOT EXISTS(SELECT 1 FROM entry AS given"
               " WHERE given.id = live_entry.id AND given.since = ?) ORDER BY ref LIMIT ?");
    rows.Bind(after).Bind(apply).Bind(kChunk);
    while (rows.Next()) {
      const int64_t ref = rows.Int();
      absent.emplace_back(ref, rows.String());
    }
    return rows.status();
  }));
  if (absent.empty()) return false;
  MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) {
    for (const auto& [ref, id] : absent) MESHCA_RETURN_IF_ERROR(MarkReplaced(database, apply, ref));
    return absl::OkStatus();
  }));
  for (const auto& [ref, id] : absent) listener.visit(EntryVerdict::kDeleted, id);
  counts.deleted += absent.size();
  after = absent.back().first;
  return true;
}

AuditEntry AuditOf(const AuditEntry& by, absl::string_view action, const RegistrationEntry& entry) {
  AuditEntry audit = by;
  audit.action = std::string(action);
  audit.target = entry.id;
  audit.detail = absl::StrCat(entry.spiffe_id.uri(), " for ", absl::StrJoin(entry.selectors, " and "));
  return audit;
}

// Rows that an apply which counts has taken away: they go, and those that nothing replaced get their line.
absl::StatusOr<uint64_t> SettleOld(Database& database, const KeyEncryption& keys, uint64_t apply,
                                   const AuditEntry& by) {
  std::vector<std::pair<int64_t, RegistrationEntry>> gone;
  {
    Query rows(database,
               "SELECT ref, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac FROM entry"
               " WHERE until = ? AND until <> 0 LIMIT ?");
    rows.Bind(apply).Bind(kChunk);
    while (rows.Next()) {
      const int64_t ref = rows.Int();
      MESHCA_ASSIGN_OR_RETURN(RegistrationEntry entry, ReadEntry(rows, keys));
      gone.emplace_back(ref, std::move(entry));
    }
    MESHCA_RETURN_IF_ERROR(rows.status());
  }
  for (const auto& [ref, entry] : gone) {
    MESHCA_ASSIGN_OR_RETURN(const bool replaced, IsGiven(database, apply, entry.id));
    if (!replaced) MESHCA_RETURN_IF_ERROR(InsertAudit(database, AuditOf(by, "entry.delete", entry)));
    MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM entry WHERE ref = ?").Bind(ref).Run());
  }
  return gone.size();
}

// Rows that it brought: they become rows like any other and get their line; those that equal a living one go.
absl::StatusOr<uint64_t> SettleNew(Database& database, const KeyEncryption& keys, uint64_t apply,
                                   const AuditEntry& by) {
  std::vector<std::pair<StagedRow, bool>> rows;
  {
    Query query(database,
                "SELECT ref, unchanged, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac"
                " FROM entry WHERE since = ? AND since <> 0 ORDER BY place LIMIT ?");
    query.Bind(apply).Bind(kChunk);
    while (query.Next()) {
      StagedRow row;
      row.ref = query.Int();
      const bool unchanged = query.Int() != 0;
      MESHCA_ASSIGN_OR_RETURN(row.entry, ReadEntry(query, keys));
      rows.emplace_back(std::move(row), unchanged);
    }
    MESHCA_RETURN_IF_ERROR(query.status());
  }
  for (const auto& [row, unchanged] : rows) {
    if (unchanged) {
      MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM entry WHERE ref = ?").Bind(row.ref).Run());
      continue;
    }
    MESHCA_RETURN_IF_ERROR(InsertAudit(database, AuditOf(by, "entry.apply", row.entry)));
    MESHCA_RETURN_IF_ERROR(
        Query(database, "UPDATE entry SET since = 0, place = 0, id_made = 0 WHERE ref = ?").Bind(row.ref).Run());
  }
  return rows.size();
}

absl::StatusOr<uint64_t> DropRows(Database& database, uint64_t apply) {
  MESHCA_RETURN_IF_ERROR(
      Query(database,
            "UPDATE entry SET until = 0 WHERE ref IN (SELECT ref FROM entry WHERE until = ? AND until <> 0 LIMIT ?)")
          .Bind(apply)
          .Bind(kChunk)
          .Run());
  uint64_t rows = static_cast<uint64_t>(database.RowsChanged());
  MESHCA_RETURN_IF_ERROR(
      Query(database, "DELETE FROM entry WHERE ref IN (SELECT ref FROM entry WHERE since = ? AND since <> 0 LIMIT ?)")
          .Bind(apply)
          .Bind(kChunk)
          .Run());
  return rows + static_cast<uint64_t>(database.RowsChanged());
}

// One step towards rest; 0 rows: it has come to rest and its own row is gone.
absl::StatusOr<uint64_t> SettleChunk(Database& database, const KeyEncryption& keys, uint64_t apply) {
  AuditEntry by;
  bool counts = false;
  {
    Query row(database, "SELECT done, actor, applied_at FROM entry_apply WHERE ref = ?");
    row.Bind(apply);
    if (!row.Next()) {
      MESHCA_RETURN_IF_ERROR(row.status());
      return 0;
    }
    counts = row.Int() != 0;
    by.actor = row.String();
    by.time = row.Time();
  }
  uint64_t rows = 0;
  if (!counts) {
    MESHCA_ASSIGN_OR_RETURN(rows, DropRows(database, apply));
  } else {
    // What it took away first: whether something replaced it is told by the rows that it brought.
    MESHCA_ASSIGN_OR_RETURN(rows, SettleOld(database, keys, apply, by));
    if (rows == 0) {
      MESHCA_ASSIGN_OR_RETURN(rows, SettleNew(database, keys, apply, by));
    }
  }
  if (rows > 0) return rows;
  MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM entry_apply WHERE ref = ?").Bind(apply).Run());
  return 0;
}

absl::Status Activate(const ApplyAccess& access, uint64_t apply, const AuditEntry& audit,
                      const EntryApplyCounts& counts) {
  return access.write([&](Database& database) -> absl::Status {
    MESHCA_RETURN_IF_ERROR(Query(database, "UPDATE entry_apply SET done = 1, actor = ?, applied_at = ? WHERE ref = ?")
                               .Bind(audit.actor)
                               .Bind(audit.time)
                               .Bind(apply)
                               .Run());
    if (counts.changes() > kChunk || counts.unchanged > 5 * kChunk) {
      AuditEntry all = audit;
      all.action = "entry.apply";
      all.target = absl::StrCat(counts.changes(), " entries");
      all.detail = absl::StrCat(counts.created, " created, ", counts.replaced, " replaced, ", counts.deleted,
                                " deleted, ", counts.unchanged, " unchanged; a line for each follows");
      return InsertAudit(database, all);
    }
    // Few enough to come to rest in the same transaction.
    for (uint64_t rows = 1; rows > 0;) {
      MESHCA_ASSIGN_OR_RETURN(rows, SettleChunk(database, access.keys, apply));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<uint64_t> CountRows(const ApplyAccess& access, uint64_t apply) {
  uint64_t rows = 0;
  MESHCA_RETURN_IF_ERROR(access.read([&](Database& database) {
    Query count(database,
                "SELECT (SELECT count(*) FROM entry WHERE since = ?1 AND since <> 0) +"
                " (SELECT count(*) FROM entry WHERE until = ?1 AND until <> 0)");
    count.Bind(apply);
    if (count.Next()) rows = count.Uint();
    return count.status();
  }));
  return rows;
}

}  // namespace

absl::StatusOr<uint64_t> BeginEntryApply(const ApplyAccess& access) {
  uint64_t apply = 0;
  MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) {
    absl::Status begun = Query(database, "INSERT INTO entry_apply(done, actor, applied_at) VALUES(0, '', 0)").Run();
    apply = static_cast<uint64_t>(database.LastInsertRow());
    return begun;
  }));
  return apply;
}

absl::Status StageInSteps(const ApplyAccess& access, uint64_t apply, uint64_t first, std::span<const GivenEntry> part,
                          size_t* at) {
  for (size_t begin = 0; begin < part.size(); begin += kChunk) {
    const std::span<const GivenEntry> chunk = part.subspan(begin, std::min<size_t>(kChunk, part.size() - begin));
    MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) -> absl::Status {
      for (size_t i = 0; i < chunk.size(); ++i) {
        *at = begin + i;
        // Places begin at 1, so that 0 is before all of them.
        const absl::Status staged = InsertStaged(database, access.keys, apply, first + begin + i + 1, chunk[i]);
        if (absl::IsAlreadyExists(staged)) return Twice(database, apply, chunk[i].entry);
        MESHCA_RETURN_IF_ERROR(staged);
      }
      return absl::OkStatus();
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> JudgeAndActivate(const ApplyAccess& access, uint64_t apply, const EntryApplyOptions& options,
                                      const AuditEntry& audit, const EntryApplyListener& listener,
                                      EntryApplyCounts& counts, uint64_t* at) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t given, CountRows(access, apply));
  int64_t after = 0;
  for (bool more = true; more;) {
    MESHCA_ASSIGN_OR_RETURN(more, JudgeChunk(access, apply, options.prune, listener, after, counts, at));
    listener.progress(static_cast<uint64_t>(after), 2 * given);
  }
  after = 0;
  for (bool more = options.prune; more;) {
    MESHCA_ASSIGN_OR_RETURN(more, PruneEntryChunk(access, apply, listener, after, counts));
  }
  if (options.dry_run || counts.changes() == 0) return false;
  MESHCA_RETURN_IF_ERROR(Activate(access, apply, audit, counts));
  return true;
}

absl::Status SettleApply(const ApplyAccess& access, uint64_t apply,
                         absl::FunctionRef<void(uint64_t done, uint64_t of)> progress) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t all, CountRows(access, apply));
  uint64_t done = 0;
  for (uint64_t rows = 1; rows > 0;) {
    MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) -> absl::Status {
      MESHCA_ASSIGN_OR_RETURN(rows, SettleChunk(database, access.keys, apply));
      return absl::OkStatus();
    }));
    done += rows;
    progress(done, std::max(all, done));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> AbandonedApply(Database& database, absl::FunctionRef<bool(uint64_t)> skip) {
  Query rows(database, "SELECT ref FROM entry_apply ORDER BY ref");
  while (rows.Next()) {
    const uint64_t apply = rows.Uint();
    if (!skip(apply)) return apply;
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return 0;
}

}  // namespace meshca::storage
