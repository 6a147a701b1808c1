// What makes the audit log a chain: each entry carries the hash of all before it.
#ifndef MESHCA_STORAGE_AUDIT_CHAIN_H_
#define MESHCA_STORAGE_AUDIT_CHAIN_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/identity/audit_entry.h"

namespace meshca::storage {

// Gives `entry` the place after the entry with `previous_hash` (32 bytes; "" before the first) and `previous_sequence`:
// sets sequence and hash, and cuts the time to whole microseconds, as rows hold it.
// hash = SHA-256 over length-prefixed previous hash, sequence, time, actor, action, target, detail.
void ChainAuditEntry(absl::string_view previous_hash, uint64_t previous_sequence, AuditEntry& entry);

// Does `entry` follow them?
bool AuditEntryFollows(absl::string_view previous_hash, uint64_t previous_sequence, const AuditEntry& entry);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_AUDIT_CHAIN_H_
