#include "storage/entry_apply_steps.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "storage/audit_log.h"
#include "storage/trust_macs.h"

namespace meshca::storage {
namespace {

// Rows of one transaction: issuance waits a few milliseconds for it.
constexpr int kApplyChunk = 200;

// What is to be written of a row that was judged.
struct JudgedEntry {
  int64_t ref = 0;
  uint64_t place = 0;
  RegistrationEntry entry;
  EntryVerdict verdict = EntryVerdict::kCreated;
  bool takes_id = false;     // entry.id is that of the living entry with the same rights
  int64_t replaced_ref = 0;  // of the living row
};

// Why a row of the apply could not be added beside those before it.
absl::Status RefuseTwice(Tables& tables, uint64_t apply, const RegistrationEntry& entry) {
  MESHCA_ASSIGN_OR_RETURN(const std::optional<uint64_t> first, tables.applies.FindPlace(apply, entry.id));
  if (first.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a second entry with id \"", entry.id, "\"; the first is entry ", *first + 1));
  }
  return absl::InvalidArgumentError(absl::StrCat("a second entry that gives ", entry.spiffe_id.uri(),
                                                 " to the same selectors",
                                                 entry.ServedByAgents() ? " on the same nodes" : ""));
}

bool GivesTheSame(const RegistrationEntry& a, const RegistrationEntry& b) {
  return a.spiffe_id == b.spiffe_id && a.selectors == b.selectors && a.ttl == b.ttl && a.dns_names == b.dns_names &&
         a.nodes == b.nodes && a.hint == b.hint && a.jwt_ttl == b.jwt_ttl;
}

absl::StatusOr<JudgedEntry> JudgeEntry(Tables& tables, const KeyEncryption& keys, uint64_t apply, bool prune,
                                       StagedEntry row) {
  JudgedEntry judged;
  judged.ref = row.ref;
  judged.place = row.place;
  MESHCA_ASSIGN_OR_RETURN(judged.entry, Verified(std::move(row.entry), keys));
  RegistrationEntry& entry = judged.entry;
  MESHCA_ASSIGN_OR_RETURN(const std::optional<std::string> holder, tables.entries.FindHolder(entry));
  if (holder.has_value() && *holder != entry.id) {
    if (row.id_made) {
      judged.takes_id = true;
      entry.id = *holder;
    } else if (!prune) {
      // One that is given too holds other rights afterwards: two of one apply never have the same.
      MESHCA_ASSIGN_OR_RETURN(const std::optional<uint64_t> given, tables.applies.FindPlace(apply, *holder));
      if (!given.has_value()) {
        return absl::AlreadyExistsError(absl::StrCat("entry ", *holder, " already gives ", entry.spiffe_id.uri(),
                                                     " to these selectors; give it that id, or delete it first"));
      }
    }
  }
  MESHCA_ASSIGN_OR_RETURN(std::optional<LiveEntry> living, tables.entries.FindById(entry.id));
  if (living.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry old, Verified(std::move(living->entry), keys));
    const bool same = GivesTheSame(old, entry);
    judged.verdict = same ? EntryVerdict::kUnchanged : EntryVerdict::kReplaced;
    judged.replaced_ref = same ? 0 : living->ref;
  }
  return judged;
}

absl::Status WriteVerdict(Tables& tables, const KeyEncryption& keys, uint64_t apply, const JudgedEntry& judged) {
  if (judged.takes_id) {
    const absl::Status taken = tables.applies.WriteId(judged.ref, judged.entry.id, MacsOf(judged.entry, keys));
    if (absl::IsAlreadyExists(taken)) return RefuseTwice(tables, apply, judged.entry);
    MESHCA_RETURN_IF_ERROR(taken);
  }
  if (judged.verdict == EntryVerdict::kUnchanged) return tables.applies.MarkUnchanged(judged.ref);
  return judged.replaced_ref == 0 ? absl::OkStatus() : tables.applies.TakeAway(apply, judged.replaced_ref);
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
absl::StatusOr<bool> JudgeChunk(const Transactions& transactions, uint64_t apply, bool prune,
                                const EntryApplyListener& listener, uint64_t& after, EntryApplyCounts& counts,
                                uint64_t* at) {
  std::vector<JudgedEntry> judged;
  MESHCA_RETURN_IF_ERROR(transactions.Read([&](Tables& tables) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(std::vector<StagedEntry> rows, tables.applies.ReadStaged(apply, after, kApplyChunk));
    for (StagedEntry& row : rows) {
      *at = row.place;
      MESHCA_ASSIGN_OR_RETURN(JudgedEntry one, JudgeEntry(tables, transactions.keys(), apply, prune, std::move(row)));
      judged.push_back(std::move(one));
    }
    return absl::OkStatus();
  }));
  if (judged.empty()) return false;
  const bool writes = std::any_of(judged.begin(), judged.end(), [](const JudgedEntry& one) {
    return one.takes_id || one.verdict != EntryVerdict::kCreated;
  });
  if (writes) {
    MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) -> absl::Status {
      for (const JudgedEntry& one : judged) {
        *at = one.place;
        MESHCA_RETURN_IF_ERROR(WriteVerdict(tables, transactions.keys(), apply, one));
      }
      return absl::OkStatus();
    }));
  }
  for (const JudgedEntry& one : judged) {
    ++CountOf(counts, one.verdict);
    listener.visit(one.verdict, one.entry.id);
  }
  after = judged.back().place;
  return true;
}

// Marks the living rows behind `after` that were not given, a chunk, and moves it on; false: there were none.
absl::StatusOr<bool> PruneEntryChunk(const Transactions& transactions, uint64_t apply,
                                     const EntryApplyListener& listener, int64_t& after, EntryApplyCounts& counts) {
  std::vector<EntryApplyTable::Absent> absent;
  MESHCA_RETURN_IF_ERROR(transactions.Read([&](Tables& tables) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(absent, tables.applies.ReadAbsent(apply, after, kApplyChunk));
    return absl::OkStatus();
  }));
  if (absent.empty()) return false;
  MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) {
    for (const auto& row : absent) MESHCA_RETURN_IF_ERROR(tables.applies.TakeAway(apply, row.ref));
    return absl::OkStatus();
  }));
  for (const auto& row : absent) listener.visit(EntryVerdict::kDeleted, row.id);
  counts.deleted += absent.size();
  after = absent.back().ref;
  return true;
}

AuditEntry AuditOfEntry(const AuditEntry& by, absl::string_view action, const RegistrationEntry& entry) {
  AuditEntry audit = by;
  audit.action = std::string(action);
  audit.target = entry.id;
  audit.detail =
      absl::StrCat(entry.spiffe_id.uri(), " for ", absl::StrJoin(entry.selectors, " and "),
                   entry.ServedByAgents() ? absl::StrCat(" on nodes ", absl::StrJoin(entry.nodes, ", ")) : "");
  return audit;
}

// Rows that an apply which counts has taken away: they go, and those that nothing replaced get their line.
absl::StatusOr<uint64_t> SettleTaken(Tables& tables, const KeyEncryption& keys, uint64_t apply, const AuditEntry& by) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<TakenEntry> rows, tables.applies.ReadTaken(apply, kApplyChunk));
  std::vector<RegistrationEntry> entries;
  for (TakenEntry& row : rows) {
    MESHCA_ASSIGN_OR_RETURN(RegistrationEntry entry, Verified(std::move(row.entry), keys));
    entries.push_back(std::move(entry));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    MESHCA_ASSIGN_OR_RETURN(const std::optional<uint64_t> given, tables.applies.FindPlace(apply, entries[i].id));
    if (!given.has_value()) {
      MESHCA_RETURN_IF_ERROR(AppendAudit(tables, AuditOfEntry(by, "entry.delete", entries[i])));
    }
    MESHCA_RETURN_IF_ERROR(tables.applies.DeleteRow(rows[i].ref));
  }
  return rows.size();
}

// Rows that it brought: they become rows like any other and get their line; those that equal a living one go.
absl::StatusOr<uint64_t> SettleStaged(Tables& tables, const KeyEncryption& keys, uint64_t apply, const AuditEntry& by) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<StagedEntry> rows, tables.applies.ReadStaged(apply, 0, kApplyChunk));
  for (StagedEntry& row : rows) {
    MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry entry, Verified(std::move(row.entry), keys));
    if (row.unchanged) {
      MESHCA_RETURN_IF_ERROR(tables.applies.DeleteRow(row.ref));
      continue;
    }
    MESHCA_RETURN_IF_ERROR(AppendAudit(tables, AuditOfEntry(by, "entry.apply", entry)));
    MESHCA_RETURN_IF_ERROR(tables.applies.Settle(row.ref));
  }
  return rows.size();
}

// One step towards rest; 0 rows: it has come to rest and its own row is gone.
absl::StatusOr<uint64_t> SettleChunk(Tables& tables, const KeyEncryption& keys, uint64_t apply) {
  MESHCA_ASSIGN_OR_RETURN(const std::optional<EntryApplyRow> row, tables.applies.Find(apply));
  if (!row.has_value()) return 0;
  uint64_t rows = 0;
  if (!row->counts) {
    MESHCA_ASSIGN_OR_RETURN(rows, tables.applies.Undo(apply, kApplyChunk));
  } else {
    AuditEntry by;
    by.actor = row->actor;
    by.time = row->applied_at;
    // What it took away first: whether something replaced it is told by the rows that it brought.
    MESHCA_ASSIGN_OR_RETURN(rows, SettleTaken(tables, keys, apply, by));
    if (rows == 0) {
      MESHCA_ASSIGN_OR_RETURN(rows, SettleStaged(tables, keys, apply, by));
    }
  }
  if (rows > 0) return rows;
  MESHCA_RETURN_IF_ERROR(tables.applies.Delete(apply));
  return 0;
}

absl::Status ActivateApply(const Transactions& transactions, uint64_t apply, const AuditEntry& audit,
                           const EntryApplyCounts& counts) {
  return transactions.Write([&](Tables& tables) -> absl::Status {
    MESHCA_RETURN_IF_ERROR(tables.applies.Activate(apply, audit.actor, audit.time));
    if (counts.changes() > kApplyChunk || counts.unchanged > 5 * kApplyChunk) {
      AuditEntry all = audit;
      all.action = "entry.apply";
      all.target = absl::StrCat(counts.changes(), " entries");
      all.detail = absl::StrCat(counts.created, " created, ", counts.replaced, " replaced, ", counts.deleted,
                                " deleted, ", counts.unchanged, " unchanged; a line for each follows");
      return AppendAudit(tables, all);
    }
    // Few enough to come to rest in the same transaction.
    for (uint64_t rows = 1; rows > 0;) {
      MESHCA_ASSIGN_OR_RETURN(rows, SettleChunk(tables, transactions.keys(), apply));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<uint64_t> CountRows(const Transactions& transactions, uint64_t apply) {
  return transactions.Ask<uint64_t>([&](Tables& tables) { return tables.applies.CountRows(apply); });
}

}  // namespace

absl::StatusOr<uint64_t> BeginEntryApply(const Transactions& transactions) {
  uint64_t apply = 0;
  MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(apply, tables.applies.Begin());
    return absl::OkStatus();
  }));
  return apply;
}

absl::Status StageInSteps(const Transactions& transactions, uint64_t apply, uint64_t first,
                          std::span<const GivenEntry> part, size_t* at) {
  for (size_t begin = 0; begin < part.size(); begin += kApplyChunk) {
    const std::span<const GivenEntry> chunk = part.subspan(begin, std::min<size_t>(kApplyChunk, part.size() - begin));
    MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) -> absl::Status {
      for (size_t i = 0; i < chunk.size(); ++i) {
        *at = begin + i;
        // Places begin at 1, so that 0 is before all of them.
        const absl::Status staged =
            tables.applies.Stage(apply, first + begin + i + 1, chunk[i], MacsOf(chunk[i].entry, transactions.keys()));
        if (absl::IsAlreadyExists(staged)) return RefuseTwice(tables, apply, chunk[i].entry);
        MESHCA_RETURN_IF_ERROR(staged);
      }
      return absl::OkStatus();
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> JudgeAndActivate(const Transactions& transactions, uint64_t apply,
                                      const EntryApplyOptions& options, const AuditEntry& audit,
                                      const EntryApplyListener& listener, EntryApplyCounts& counts, uint64_t* at) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t given, CountRows(transactions, apply));
  uint64_t after_place = 0;
  for (bool more = true; more;) {
    MESHCA_ASSIGN_OR_RETURN(more, JudgeChunk(transactions, apply, options.prune, listener, after_place, counts, at));
    listener.progress(after_place, 2 * given);
  }
  int64_t after_ref = 0;
  for (bool more = options.prune; more;) {
    MESHCA_ASSIGN_OR_RETURN(more, PruneEntryChunk(transactions, apply, listener, after_ref, counts));
  }
  if (options.dry_run || counts.changes() == 0) return false;
  MESHCA_RETURN_IF_ERROR(ActivateApply(transactions, apply, audit, counts));
  return true;
}

absl::Status SettleApply(const Transactions& transactions, uint64_t apply,
                         absl::FunctionRef<void(uint64_t done, uint64_t of)> progress) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t all, CountRows(transactions, apply));
  uint64_t done = 0;
  for (uint64_t rows = 1; rows > 0;) {
    MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) -> absl::Status {
      MESHCA_ASSIGN_OR_RETURN(rows, SettleChunk(tables, transactions.keys(), apply));
      return absl::OkStatus();
    }));
    done += rows;
    progress(done, std::max(all, done));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FindAbandonedApply(Tables& tables, absl::FunctionRef<bool(uint64_t)> skip) {
  uint64_t abandoned = 0;
  MESHCA_RETURN_IF_ERROR(tables.applies.Visit([&](uint64_t apply) {
    if (skip(apply)) return true;
    abandoned = apply;
    return false;
  }));
  return abandoned;
}

}  // namespace meshca::storage
