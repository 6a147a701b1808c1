// What a revocation takes with it: whole lines of renewals, and every certificate with a key concerned.
#ifndef MESHCA_STORAGE_REVOCATION_PLAN_H_
#define MESHCA_STORAGE_REVOCATION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/identity/audit_entry.h"
#include "ca/issuance/revocation_store.h"
#include "storage/revocation_table.h"

namespace meshca::storage {

// Grows to what belongs together. A certificate is concerned when it was selected, or shares its line or its key with
// one that is. Whoever held a revoked key could renew every certificate that has it, so their lines end too. Takes
// about 300 bytes for each certificate concerned.
class RevocationPlan {
 public:
  struct Certificate {
    std::string serial, line, key_sha256;
    int64_t not_after = 0;
  };

  // Call for every live certificate, again and again until Growing() answers false: a line found late may hold one that
  // was passed over before.
  void Offer(const RevocableCertificate& certificate, bool selected);
  // Was anything new since the last call?
  bool Growing();

  // In the order in which they were found.
  const std::vector<Certificate>& certificates() const { return certificates_; }
  // The bytes of their first serial numbers.
  const absl::flat_hash_set<std::string>& lines() const { return lines_; }

 private:
  std::vector<Certificate> certificates_;
  absl::flat_hash_set<int64_t> numbers_;
  absl::flat_hash_set<std::string> lines_;
  absl::flat_hash_set<std::string> keys_;
  bool grown_ = false;
};

// InvalidArgument unless exactly one field is given, and a serial number is hex of 16 bytes.
absl::Status CheckSelection(const RevocationSelection& selection);
// "serial 0a0b", "node node-1": for the audit log and messages.
std::string SelectionText(const RevocationSelection& selection);
absl::Status NothingToRevoke(const RevocationSelection& selection);
// `audit` with what was done in place of an empty target and behind the detail.
AuditEntry RevocationAudit(const AuditEntry& audit, const RevocationSelection& selection, RevocationReason reason,
                           uint64_t certificates, uint64_t lines);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_PLAN_H_
