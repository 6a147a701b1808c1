// A certificate authority of ours: a CA certificate, its state, and where its key is.
#ifndef MESHCA_CA_AUTHORITY_SIGNING_AUTHORITY_H_
#define MESHCA_CA_AUTHORITY_SIGNING_AUTHORITY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/x509/certificate.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// The numbers are stored: never reuse one.
enum class AuthorityRole { kRoot = 1, kIssuing = 2 };
enum class AuthorityState { kPrepared = 1, kActive = 2, kOld = 3, kRetired = 4 };

absl::string_view AuthorityRoleName(AuthorityRole role);     // "root", "issuing"
absl::string_view AuthorityStateName(AuthorityState state);  // "prepared", "active", "old", "retired"

// Immutable; shared by every thread that signs. Prepared: made, signs nothing yet. Active: signs. Old: signs no more,
// but is trusted. Retired: not trusted any more, its key is destroyed. `tainted` (its key is considered stolen) is
// apart from the state: a tainted active authority signs until its successor is active.
struct SigningAuthority {
  std::string id;  // hex SHA-256 of the SubjectPublicKeyInfo: what people compare and rows refer to
  AuthorityRole role = AuthorityRole::kIssuing;
  AuthorityState state = AuthorityState::kPrepared;
  bool tainted = false;
  Certificate certificate;
  // Certificates between `certificate` and a root, nearest first, root left out: upstream chain or cross-certificate.
  std::vector<Certificate> upstream;
  std::string root_id;  // id of the root that it chains to; a root's own id
  // Where the private key is: "sealed" (in the database), "file:<folder>" (plugged in), "exported", "" (not held here).
  std::string key_reference;
  // It was made for another CA's key (exported_authority.h). Whoever was given it may sign with it until it ends, so
  // this stays where its key comes here.
  bool exported = false;
  // The opened key: set only in AuthoritySnapshot::issuing. A root's key is opened only while it signs.
  std::shared_ptr<const SigningKey> key;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SIGNING_AUTHORITY_H_
