// The rules that decide whether a client certificate that a caller shows may still be used and renewed.
#ifndef MESHCA_STORAGE_RENEWAL_RULES_H_
#define MESHCA_STORAGE_RENEWAL_RULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/node_store.h"
#include "ca/identity/origin.h"
#include "ca/identity/trusted_origins.h"
#include "ca/issuance/issuance_store.h"
#include "storage/inventory.h"
#include "storage/tables.h"

namespace meshca::storage {

// What the renewal of a certificate inherits from it. A certificate and all its renewals are a line, named by the
// serial number of the first one.
struct InheritedRight {
  // What gave the right to the first certificate of the line. kUnknown: the first one is not on record, so nothing can
  // be checked. kEntry without a reference: an old version issued it by some entry; any entry of the ID will do.
  Origin origin;
  int64_t origin_number = 0;  // RecordedCertificate::origin_number, or 0
  std::string line;           // bytes; "": not known, so the renewal begins a new line
  bool unrecorded = false;    // the certificate has no record, and needed none (UnrecordedGrace)
  std::string node = {};      // of the certificate that is renewed; "": none
  // The certificate (hex) that the new one is recorded to replace; "": none. Whoever is named here counts no more where
  // a rotation waits for it, so it is never taken from the caller's word alone.
  std::string parent = {};
  // Of the certificate of a node's agent: the node, whose name its machine has.
  std::optional<NodeRecord> agent_of = {};
};

// Judges whether a caller that shows `shown` may be served. Errors: those of IssuanceStore::JudgePresented. If
// `trusted_origins` is null, JWT issuers and pods are not checked.
absl::StatusOr<InheritedRight> JudgeRenewal(const Inventory& inventory, const PresentedCertificate& shown,
                                            const TrustedOrigins* trusted_origins);
// See IssuanceStore::JudgePresented. Runs inside a reading transaction of the caller.
absl::StatusOr<IssuanceRecord> JudgePresented(Tables& tables, const KeyEncryption& keys,
                                              const PresentedCertificate& shown, const TrustedOrigins* trusted_origins);
// For a certificate whose caller showed none. The caller was authenticated by registration entries a moment ago; a
// deleted entry must give nothing from then on, so the entry that `record.origin` names, if any, is looked up again.
// PermissionDenied (ENTRY_GONE): it is gone, or gives another ID now, or to processes on nodes.
absl::Status CheckFirstRight(const Inventory& inventory, const IssuanceRecord& record);
// For a certificate whose caller showed none and has a right of its own, which CheckFirstRight has looked at: what is
// to be recorded with it. It may replace `record.parent_serial` all the same: SDS renews a key for a process, which is
// authenticated anew. A parent of another ID is none. Unauthenticated (CERTIFICATE_REVOKED): the replaced certificate
// is revoked.
absl::StatusOr<InheritedRight> JudgeFirst(const Inventory& inventory, const IssuanceRecord& record);
// The line (bytes) that `record` belongs to. If the record does not say, its parents are followed to the first one.
absl::StatusOr<std::string> LineOf(const Inventory& inventory, RecordedCertificate record);
// PermissionDenied unless `record` has the SPIFFE ID of record.presented, the certificate that its caller showed.
absl::Status CheckSameId(const IssuanceRecord& record);
// The audit log entry for the renewal of a certificate that is not on record.
AuditEntry UnrecordedRenewal(const IssuanceRecord& record);

// The Unauthenticated (CERTIFICATE_REVOKED) for a certificate that is revoked.
absl::Status CertificateIsRevoked(const PresentedCertificate& shown, const Revocation& revocation);
// The PermissionDenied (KEY_REVOKED) for a request whose key belongs to a revoked certificate.
absl::Status KeyIsRevoked(const Revocation& revocation);

// Decodes a serial number from hex of either case; nullopt: it is not 1 to 20 bytes in hex (RFC 5280 §4.1.2.2).
std::optional<std::string> SerialBytes(absl::string_view hex);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RENEWAL_RULES_H_
