// Join tokens and registration entries as rows. Each carries a MAC, checked at each read.
#ifndef MESHCA_STORAGE_SQLITE_ACCESS_ROWS_H_
#define MESHCA_STORAGE_SQLITE_ACCESS_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/entry_store.h"
#include "ca/identity/token_store.h"
#include "ca/issuance/issuance_store.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// The calls of TokenStore and EntryStore, which say the errors, inside a transaction of the caller.
absl::Status InsertToken(Database& database, const KeyEncryption& keys, const JoinToken& token);
absl::StatusOr<JoinToken> SelectToken(Database& database, const KeyEncryption& keys, absl::string_view secret_sha256);
absl::StatusOr<std::vector<JoinToken>> SelectTokens(Database& database, const KeyEncryption& keys);
absl::Status DeleteTokenRow(Database& database, absl::string_view id);
// Deletes at most `rows_max` tokens that ended before `expired_before`, those that ended first; how many it deleted. A
// token that was used ends when it expires: until then its key may repeat. The audit log keeps what it says of them.
absl::StatusOr<uint64_t> PruneTokens(Database& database, absl::Time expired_before, uint64_t rows_max);

// May `record` redeem its token? Unauthenticated with kTokenUnknown, kTokenExpired or kTokenUsed if not. `first`: this
// is the first redemption, to be written by MarkTokenUsed once the issuance itself is in.
struct Redemption {
  JoinToken token;
  bool first = false;
};
absl::StatusOr<Redemption> CheckRedemption(Database& database, const KeyEncryption& keys, const IssuanceRecord& record);
absl::Status MarkTokenUsed(Database& database, const KeyEncryption& keys, JoinToken token,
                           const IssuanceRecord& record);

// A row of (id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac), its MAC checked; and the MAC.
absl::StatusOr<RegistrationEntry> ReadEntry(Query& row, const KeyEncryption& keys);
std::string EntryMac(const RegistrationEntry& entry, const KeyEncryption& keys);

absl::Status InsertEntry(Database& database, const KeyEncryption& keys, const RegistrationEntry& entry);
absl::Status UpsertEntry(Database& database, const KeyEncryption& keys, const RegistrationEntry& entry);
absl::StatusOr<std::vector<RegistrationEntry>> SelectEntries(Database& database, const KeyEncryption& keys);
// Does the entry `id`, or any where it is "", give `spiffe_id`?
absl::StatusOr<bool> EntryGives(Database& database, const KeyEncryption& keys, const std::string& id,
                                const SpiffeId& spiffe_id, absl::Time issued_at);
absl::Status DeleteEntryRow(Database& database, absl::string_view id);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_ACCESS_ROWS_H_
