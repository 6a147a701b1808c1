#include "storage/audit_chain.h"

#include <openssl/sha.h>

#include <string>

#include "storage/canonical_bytes.h"

namespace meshca::storage {
namespace {

std::string HashOf(absl::string_view previous_hash, const AuditEntry& entry) {
  CanonicalBytes fields;
  fields.Add(previous_hash).Add(entry.sequence).Add(entry.time);
  fields.Add(entry.actor).Add(entry.action).Add(entry.target).Add(entry.detail);
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  const std::string& bytes = fields.bytes();
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

}  // namespace

void ChainAuditEntry(absl::string_view previous_hash, uint64_t previous_sequence, AuditEntry& entry) {
  entry.sequence = previous_sequence + 1;
  entry.time = TimeOfMicros(MicrosOf(entry.time));
  entry.hash = HashOf(previous_hash, entry);
}

bool AuditEntryFollows(absl::string_view previous_hash, uint64_t previous_sequence, const AuditEntry& entry) {
  return entry.sequence == previous_sequence + 1 && entry.hash == HashOf(previous_hash, entry);
}

}  // namespace meshca::storage
