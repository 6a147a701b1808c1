// IssuanceStore::Append inside the writer's transaction: every rule that decides whether a signature counts.
#ifndef MESHCA_STORAGE_ISSUANCE_APPENDER_H_
#define MESHCA_STORAGE_ISSUANCE_APPENDER_H_

#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/issuance/issuance_store.h"
#include "storage/renewal_rules.h"
#include "storage/tables.h"

namespace meshca::storage {

// Judges and records issuances, and remembers within a batch what it has looked up: most records of a batch are signed
// by one authority, and many are given by one entry. Writer thread.
class IssuanceAppender {
 public:
  // Both outlive the appender.
  IssuanceAppender(Tables& tables, const KeyEncryption& keys)
      : tables_(tables), inventory_(tables, keys), keys_(keys) {}

  // Forgets what it remembers: another transaction begins, or another job of this one, which may change authorities and
  // entries and revoke keys.
  void Forget();
  // The errors of IssuanceStore::Append. A refused record leaves nothing behind, unless the database itself failed.
  absl::Status Append(const IssuanceRecord& record);

 private:
  absl::StatusOr<Signer> FindSigner(const std::string& authority_id);
  // What gives the right to the certificate, or the refusal.
  absl::StatusOr<InheritedRight> JudgeRight(const IssuanceRecord& record);
  // Is the entry still there that gives the right to a certificate for which none was shown?
  absl::Status CheckEntry(const IssuanceRecord& record);
  absl::Status CheckKey(const IssuanceRecord& record);
  absl::Status Insert(const IssuanceRecord& record, const Signer& signer, const InheritedRight& right);

  Tables& tables_;
  const Inventory inventory_;
  const KeyEncryption& keys_;
  absl::flat_hash_map<std::string, Signer> signers_;  // by authority id
  // By an entry's id and the ID it gives: the earliest issuance that it was found to uphold.
  absl::flat_hash_map<std::string, absl::Time> upheld_;
  std::optional<bool> any_key_revoked_;  // nothing: to be read
};

// IssuanceStore::Find, inside a transaction of the caller.
absl::StatusOr<IssuanceRecord> FindIssuance(Tables& tables, const SerialNumber& serial);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ISSUANCE_APPENDER_H_
