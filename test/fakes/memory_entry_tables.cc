// Registration entries and applies of many, in memory.
#include <algorithm>
#include <iterator>

#include "ca/base/status.h"
#include "storage/canonical_bytes.h"
#include "test/fakes/memory_tables.h"

namespace meshca {
namespace {

using storage::WithMac;

bool Counts(const MemoryEntries& entries, uint64_t apply) {
  const auto found = entries.applies.find(apply);
  return found != entries.applies.end() && found->second.counts;
}

bool Lives(const MemoryEntries& entries, const MemoryEntry& row) {
  if (row.since != 0 && (row.unchanged || !Counts(entries, row.since))) return false;
  return row.until == 0 || !Counts(entries, row.until);
}

bool HaveTheSameRights(const RegistrationEntry& a, const RegistrationEntry& b) {
  return a.spiffe_id == b.spiffe_id && a.selectors == b.selectors && a.nodes == b.nodes;
}

// The first living row that `fits`.
template <typename Fits>
std::optional<storage::LiveEntry> FindLiving(const MemoryEntries& entries, Fits fits) {
  for (const auto& [ref, row] : entries.rows) {
    if (Lives(entries, row) && fits(row.entry.value)) return storage::LiveEntry{ref, row.entry};
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::optional<storage::LiveEntry>> MemoryEntryTable::FindById(const std::string& id) {
  return FindLiving(*rows_.entries, [&](const RegistrationEntry& entry) { return entry.id == id; });
}

absl::StatusOr<std::optional<storage::LiveEntry>> MemoryEntryTable::FindByIdentity(const SpiffeId& spiffe_id) {
  return FindLiving(*rows_.entries, [&](const RegistrationEntry& entry) {
    return entry.spiffe_id == spiffe_id && !entry.ServedByAgents();
  });
}

absl::StatusOr<std::optional<std::string>> MemoryEntryTable::FindHolder(const RegistrationEntry& entry) {
  const auto holder =
      FindLiving(*rows_.entries, [&](const RegistrationEntry& other) { return HaveTheSameRights(other, entry); });
  return holder.has_value() ? std::optional(holder->entry.value.id) : std::nullopt;
}

absl::Status MemoryEntryTable::Visit(absl::FunctionRef<absl::Status(WithMac<RegistrationEntry>)> visit) {
  std::vector<WithMac<RegistrationEntry>> living;
  for (const auto& [ref, row] : rows_.entries->rows) {
    if (Lives(*rows_.entries, row)) living.push_back(row.entry);
  }
  std::stable_sort(living.begin(), living.end(), [](const auto& a, const auto& b) {
    return std::pair(a.value.created_at, a.value.id) < std::pair(b.value.created_at, b.value.id);
  });
  for (const WithMac<RegistrationEntry>& entry : living) MESHCA_RETURN_IF_ERROR(visit(entry));
  return absl::OkStatus();
}

absl::Status MemoryEntryTable::Insert(const RegistrationEntry& entry, const storage::RowMacs& macs) {
  MemoryEntries& entries = rows_.entries.Write();
  entries.rows[++entries.last_ref].entry = {entry, macs.mac, macs.added_mac};
  return absl::OkStatus();
}

absl::Status MemoryEntryTable::Replace(int64_t ref, const RegistrationEntry& entry, const storage::RowMacs& macs) {
  rows_.entries.Write().rows[ref].entry = {entry, macs.mac, macs.added_mac};
  return absl::OkStatus();
}

absl::StatusOr<bool> MemoryEntryTable::Delete(absl::string_view id) {
  const auto living =
      FindLiving(*rows_.entries, [&](const RegistrationEntry& entry) { return absl::string_view(entry.id) == id; });
  return living.has_value() && rows_.entries.Write().rows.erase(living->ref) != 0;
}

absl::StatusOr<uint64_t> MemoryEntryApplyTable::Begin() {
  MemoryEntries& entries = rows_.entries.Write();
  entries.applies[++entries.last_apply] = {};
  return entries.last_apply;
}

absl::StatusOr<std::optional<storage::EntryApplyRow>> MemoryEntryApplyTable::Find(uint64_t apply) {
  const auto found = rows_.entries->applies.find(apply);
  if (found == rows_.entries->applies.end()) return std::nullopt;
  return found->second;
}

absl::Status MemoryEntryApplyTable::Activate(uint64_t apply, absl::string_view actor, absl::Time applied_at) {
  rows_.entries.Write().applies[apply] = {true, std::string(actor),
                                          storage::TimeOfMicros(storage::MicrosOf(applied_at))};
  return absl::OkStatus();
}

absl::Status MemoryEntryApplyTable::Delete(uint64_t apply) {
  rows_.entries.Write().applies.erase(apply);
  return absl::OkStatus();
}

absl::Status MemoryEntryApplyTable::Visit(absl::FunctionRef<bool(uint64_t apply)> visit) {
  for (const auto& [apply, row] : rows_.entries->applies) {
    if (!visit(apply)) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryEntryApplyTable::CountRows(uint64_t apply) {
  uint64_t count = 0;
  for (const auto& [ref, row] : rows_.entries->rows) {
    count += (row.since == apply ? 1 : 0) + (row.until == apply ? 1 : 0);
  }
  return count;
}

absl::Status MemoryEntryApplyTable::Stage(uint64_t apply, uint64_t place, const GivenEntry& given,
                                          const storage::RowMacs& macs) {
  for (const auto& [ref, row] : rows_.entries->rows) {
    if (row.since != apply) continue;
    if (row.entry.value.id == given.entry.id || HaveTheSameRights(row.entry.value, given.entry)) {
      return absl::AlreadyExistsError("the apply has a row with this id or these rights");
    }
  }
  MemoryEntries& entries = rows_.entries.Write();
  MemoryEntry& row = entries.rows[++entries.last_ref];
  row.entry = {given.entry, macs.mac, macs.added_mac};
  row.since = apply;
  row.place = place;
  row.id_made = given.id_made;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<uint64_t>> MemoryEntryApplyTable::FindPlace(uint64_t apply, const std::string& id) {
  for (const auto& [ref, row] : rows_.entries->rows) {
    if (row.since == apply && row.entry.value.id == id) return row.place;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<storage::StagedEntry>> MemoryEntryApplyTable::ReadStaged(uint64_t apply,
                                                                                    uint64_t after_place,
                                                                                    uint64_t rows_max) {
  std::vector<storage::StagedEntry> staged;
  for (const auto& [ref, row] : rows_.entries->rows) {
    if (row.since == apply && row.place > after_place) {
      staged.push_back({ref, row.place, row.id_made, row.unchanged, row.entry});
    }
  }
  std::sort(staged.begin(), staged.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
  if (staged.size() > rows_max) staged.resize(rows_max);
  return staged;
}

absl::Status MemoryEntryApplyTable::WriteId(int64_t ref, const std::string& id, const storage::RowMacs& macs) {
  const uint64_t apply = rows_.entries->rows.at(ref).since;
  for (const auto& [other, row] : rows_.entries->rows) {
    if (other != ref && row.since == apply && row.entry.value.id == id) {
      return absl::AlreadyExistsError("the apply has a row with this id");
    }
  }
  WithMac<RegistrationEntry>& entry = rows_.entries.Write().rows[ref].entry;
  entry.value.id = id;
  entry.mac = macs.mac;
  entry.added_mac = macs.added_mac;
  return absl::OkStatus();
}

absl::Status MemoryEntryApplyTable::MarkUnchanged(int64_t ref) {
  rows_.entries.Write().rows[ref].unchanged = true;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<storage::EntryApplyTable::Absent>> MemoryEntryApplyTable::ReadAbsent(uint64_t apply,
                                                                                                int64_t after_ref,
                                                                                                uint64_t rows_max) {
  std::vector<Absent> absent;
  for (const auto& [ref, row] : rows_.entries->rows) {
    if (absent.size() == rows_max) break;
    if (ref <= after_ref || !Lives(*rows_.entries, row)) continue;
    MESHCA_ASSIGN_OR_RETURN(const std::optional<uint64_t> given, FindPlace(apply, row.entry.value.id));
    if (!given.has_value()) absent.push_back({ref, row.entry.value.id});
  }
  return absent;
}

absl::Status MemoryEntryApplyTable::TakeAway(uint64_t apply, int64_t ref) {
  rows_.entries.Write().rows[ref].until = apply;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<storage::TakenEntry>> MemoryEntryApplyTable::ReadTaken(uint64_t apply, uint64_t rows_max) {
  std::vector<storage::TakenEntry> taken;
  for (const auto& [ref, row] : rows_.entries->rows) {
    if (row.until == apply && taken.size() < rows_max) taken.push_back({ref, row.entry});
  }
  return taken;
}

absl::Status MemoryEntryApplyTable::Settle(int64_t ref) {
  MemoryEntry& row = rows_.entries.Write().rows[ref];
  row.since = row.place = 0;
  row.id_made = false;
  return absl::OkStatus();
}

absl::Status MemoryEntryApplyTable::DeleteRow(int64_t ref) {
  rows_.entries.Write().rows.erase(ref);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryEntryApplyTable::Undo(uint64_t apply, uint64_t rows_max) {
  uint64_t kept = 0, gone = 0;
  auto& rows = rows_.entries.Write().rows;
  for (auto row = rows.begin(); row != rows.end();) {
    if (row->second.until == apply && kept < rows_max) {
      row->second.until = 0;
      ++kept;
    }
    const bool goes = row->second.since == apply && gone < rows_max;
    gone += goes ? 1 : 0;
    row = goes ? rows.erase(row) : std::next(row);
  }
  return kept + gone;
}

}  // namespace meshca
