// Chains the entries of the audit log: each entry's hash covers all entries before it.
#ifndef MESHCA_STORAGE_AUDIT_CHAIN_H_
#define MESHCA_STORAGE_AUDIT_CHAIN_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/identity/audit_entry.h"

namespace meshca::storage {

// Makes `entry` the successor of the entry with `previous_hash` (32 bytes; "" before the first) and
// `previous_sequence`: sets its sequence and hash, and cuts its time to whole microseconds, as rows hold it. hash =
// SHA-256 over length-prefixed previous hash, sequence, time, actor, action, target, detail.
void ChainAuditEntry(absl::string_view previous_hash, uint64_t previous_sequence, AuditEntry& entry);

// Whether `entry` is the successor of the entry with this hash and sequence.
bool AuditEntryFollows(absl::string_view previous_hash, uint64_t previous_sequence, const AuditEntry& entry);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_AUDIT_CHAIN_H_
