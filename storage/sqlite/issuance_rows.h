// Issuances as rows: the hot path of the writer, and what readers ask of the inventory.
#ifndef MESHCA_STORAGE_SQLITE_ISSUANCE_ROWS_H_
#define MESHCA_STORAGE_SQLITE_ISSUANCE_ROWS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/authority/signing_authority.h"
#include "ca/issuance/issuance_store.h"
#include "storage/renewal_rules.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Writes issuances in the writer's transactions. Remembers the numbers of names it has met, because most issuances are
// renewals of the same ones. Writer thread.
class IssuanceWriter {
 public:
  // Both outlive the writer.
  IssuanceWriter(Database& database, const KeyEncryption& keys) : database_(database), keys_(keys) {}

  // A transaction begins: authorities' states are read anew in it.
  void BeginBatch();
  // The errors of IssuanceStore::Append. A refused record leaves nothing behind; a fault is in the database's fault().
  absl::Status Insert(const IssuanceRecord& record);
  // Brings the counters up to the rows inserted since BeginBatch. Before COMMIT.
  absl::Status FlushCounters();
  // Another job of the batch comes next, which may read the counters, change the authorities and revoke keys.
  absl::Status MakeWay();
  // The transaction did not commit: names met in it have no number.
  void Forget();

 private:
  struct Signer {
    int64_t ref = 0;
    AuthorityState state = AuthorityState::kRetired;  // an unknown one signs nothing either
  };
  const Signer& SignerOf(const std::string& authority_id);
  // What a renewal inherits from the certificate shown for it.
  absl::StatusOr<InheritedRight> Inherit(const IssuanceRecord& record);
  // Is the entry still there that gives the right to a certificate for which none was shown?
  absl::Status CheckEntry(const IssuanceRecord& record);
  absl::Status CheckKey(const IssuanceRecord& record);
  absl::StatusOr<int64_t> SpiffeIdRef(const std::string& uri);
  absl::StatusOr<int64_t> CallerRef(AuthMethod method, const std::string& subject);
  absl::StatusOr<int64_t> OriginRef(const Origin& origin);  // 0: unknown

  Database& database_;
  const KeyEncryption& keys_;
  absl::flat_hash_map<std::string, Signer> signers_;  // of this batch
  // Of this batch: an entry's id and the ID it gives, and the earliest issuance that it was found to uphold.
  absl::flat_hash_map<std::string, absl::Time> upheld_;
  absl::flat_hash_map<std::string, int64_t> spiffe_ids_;
  absl::flat_hash_map<std::string, int64_t> callers_;              // by method and subject
  absl::flat_hash_map<std::string, int64_t> origins_;              // by kind and reference
  std::optional<bool> any_key_revoked_;                            // nothing: to be read
  std::map<std::pair<int64_t, int64_t>, int64_t> expiry_changes_;  // (minute, authority) -> rows, not yet in the table
};

// IssuanceStore's questions, inside a transaction of the caller.
absl::StatusOr<IssuanceRecord> SelectIssuance(Database& database, const SerialNumber& serial);
absl::Status VisitIssuances(Database& database, const IssuanceFilter& filter,
                            absl::FunctionRef<bool(const IssuanceRecord&)> visit);
absl::StatusOr<uint64_t> CountIssuanceRows(Database& database);
absl::StatusOr<std::map<std::string, uint64_t>> CountLiveRows(Database& database, absl::Time now);

// The hash of the certificate with this serial; nothing where there is none.
absl::StatusOr<std::optional<std::string>> CertificateHashOf(Database& database, const SerialNumber& serial);

// Deletes at most `rows_max` issuances that ended before `expired_before`, oldest end first, with their counts.
absl::StatusOr<uint64_t> PruneIssuances(Database& database, absl::Time expired_before, uint64_t rows_max);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_ISSUANCE_ROWS_H_
