// IssuanceStore::Append inside the writer's transaction: all rules that decide whether a signed certificate may be
// recorded, and so handed out.
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

// Judges and records issuances. Within a batch it caches what it has looked up, because most records of a batch are
// signed by one authority, and many have the right from one entry. Used on the writer's thread alone.
class IssuanceAppender {
 public:
  // `tables` and `keys` outlive the appender.
  IssuanceAppender(Tables& tables, const KeyEncryption& keys)
      : tables_(tables), inventory_(tables, keys), keys_(keys) {}

  // Empties the cache. To be called when a transaction begins, and within one before each job that may change
  // authorities or entries or revoke keys.
  void Forget();
  // Errors: those of IssuanceStore::Append. A refused record leaves nothing in the database, unless the database itself
  // failed.
  absl::Status Append(const IssuanceRecord& record);

 private:
  absl::StatusOr<Signer> FindSigner(const std::string& authority_id);
  // Finds out what gives the right to the certificate; an error: nothing does.
  absl::StatusOr<InheritedRight> JudgeRight(const IssuanceRecord& record);
  // For a workload, asked for by the agent of its node.
  absl::StatusOr<InheritedRight> JudgeForAgent(const IssuanceRecord& record);
  // If the right comes from a registration entry, checks that the entry still gives it (CheckFirstRight; of an agent
  // CheckEntryForNode).
  absl::Status CheckEntry(const IssuanceRecord& record);
  absl::Status CheckKey(const IssuanceRecord& record);
  absl::Status Insert(const IssuanceRecord& record, const Signer& signer, const InheritedRight& right);

  Tables& tables_;
  const Inventory inventory_;
  const KeyEncryption& keys_;
  absl::flat_hash_map<std::string, Signer> signers_;  // by authority id
  // By entry id and SPIFFE ID: the issued_at for which the entry was found to give the right. Later ones need no check.
  absl::flat_hash_map<std::string, absl::Time> upheld_;
  // By serial number and hash of an agent's certificate that was shown: the node whose name its machine has. One
  // message of an agent asks for many certificates.
  absl::flat_hash_map<std::string, NodeRecord> agents_;
  std::optional<bool> any_key_revoked_;  // nullopt: not read yet
};

// See IssuanceStore::Find. Runs inside a transaction of the caller.
absl::StatusOr<IssuanceRecord> FindIssuance(Tables& tables, const SerialNumber& serial);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ISSUANCE_APPENDER_H_
