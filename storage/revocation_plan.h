// The set of certificates that one revocation concerns: whole lines of renewals, and all certificates with their keys.
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

// Collects the certificates concerned. A certificate is concerned if it was selected, or if it has the line (it and its
// renewals) or the key of one that is concerned: the holder of a revoked key could renew every certificate with that
// key, so their lines are revoked too. Takes about 300 bytes of memory for each certificate concerned.
class RevocationPlan {
 public:
  struct Certificate {
    std::string serial, line, key_sha256;
    int64_t not_after = 0;
  };

  // To be called for every live certificate, in round after round until Growing() is false: a certificate may be passed
  // over in one round and belong to a line that is found later in it.
  void Offer(const RevocableCertificate& certificate, bool selected);
  // Whether a certificate was added since the last call.
  bool Growing();

  // The certificates concerned, in the order in which they were found.
  const std::vector<Certificate>& certificates() const { return certificates_; }
  // Their lines: the bytes of each line's first serial number.
  const absl::flat_hash_set<std::string>& lines() const { return lines_; }

 private:
  std::vector<Certificate> certificates_;
  absl::flat_hash_set<int64_t> numbers_;
  absl::flat_hash_set<std::string> lines_;
  absl::flat_hash_set<std::string> keys_;
  bool grown_ = false;
};

// InvalidArgument unless exactly one field is set and a serial number, if it is that, is 16 bytes in hex.
absl::Status CheckSelection(const RevocationSelection& selection);
// "serial 0a0b", "node node-1": for the audit log and messages.
std::string SelectionText(const RevocationSelection& selection);
absl::Status NothingToRevoke(const RevocationSelection& selection);
// `audit`, completed with what was done: an empty target becomes the selection, and the detail gets the reason and the
// counts.
AuditEntry RevocationAudit(const AuditEntry& audit, const RevocationSelection& selection, RevocationReason reason,
                           uint64_t certificates, uint64_t lines);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_PLAN_H_
