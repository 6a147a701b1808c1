// What a store knows of one certificate it issued, as far as its renewal depends on it.
#ifndef MESHCA_STORAGE_RECORDED_CERTIFICATE_H_
#define MESHCA_STORAGE_RECORDED_CERTIFICATE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"

namespace meshca::storage {

// That something is revoked: since when, and why (the number of a RevocationReason).
struct Revocation {
  absl::Time at;
  int reason = 0;
};

struct RecordedCertificate {
  int64_t number = 0;  // grows with each issuance: a certificate's is above that of the one it renews
  std::string serial;  // bytes, like `parent` and `line`
  std::string spiffe_id;
  std::string certificate_sha256;
  AuthMethod method = AuthMethod::kJoinToken;
  std::string caller;
  std::string token_id;
  std::string parent;         // "": renews none
  std::string line;           // the first of its renewals; "": itself, or a version wrote it that kept no lines
  Origin origin;              // kUnknown: see InheritedRight
  int64_t origin_number = 0;  // by which the database refers to `origin`; 0 where it does not
  absl::Time issued_at = absl::InfinitePast();
  // Its serial number, its `line` or its key is revoked.
  std::optional<Revocation> revocation;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RECORDED_CERTIFICATE_H_
