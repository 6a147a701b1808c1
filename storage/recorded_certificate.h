// The part of a certificate's record on which its renewal depends.
#ifndef MESHCA_STORAGE_RECORDED_CERTIFICATE_H_
#define MESHCA_STORAGE_RECORDED_CERTIFICATE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"

namespace meshca::storage {

// Since when something is revoked, and why: `reason` is the number of a RevocationReason.
struct Revocation {
  absl::Time at;
  int reason = 0;
};

struct RecordedCertificate {
  // Above 0, and greater than that of every certificate that was recorded before, also of those that are pruned: what
  // came first is told by this, and not by a clock that may have been set.
  int64_t number = 0;
  std::string serial;  // bytes, like `parent` and `line`
  std::string spiffe_id;
  std::string certificate_sha256;
  AuthMethod method = AuthMethod::kJoinToken;
  std::string caller;
  std::string token_id;
  std::string node;           // "": none
  std::string parent;         // the certificate that it renews; "": none
  std::string line;           // the first certificate of its chain of renewals; "": itself, or (old rows) not known
  Origin origin;              // what gave the right to the first one; kUnknown: see InheritedRight
  int64_t origin_number = 0;  // the number of `origin` in the database; 0: it has none
  absl::Time issued_at = absl::InfinitePast();
  // Set if its serial number, its `line` or its key is revoked.
  std::optional<Revocation> revocation;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RECORDED_CERTIFICATE_H_
