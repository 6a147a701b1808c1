// The interface that supplies authorities: made by meshca (self_signed_source.h) or plugged in as files
// (plugged_in_ca.h).
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_SOURCE_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_SOURCE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/secret.h"
#include "ca/x509/certificate.h"
#include "ca/x509/key_store.h"

namespace meshca {

// What a source offers: a root, perhaps an issuing authority under it, and the private key of the lower of the two. The
// key was either made by the key store (`new_key`) or read from files (`key_pkcs8`).
struct AuthoritySet {
  Certificate root;  // the one the chain ends in
  // Other roots to trust, `root` not among them.
  std::vector<Certificate> more_roots;
  // nullopt: the key is the root's, and meshca itself makes issuing authorities under that root.
  std::optional<Certificate> issuing;
  std::vector<Certificate> upstream;  // between issuing and root, nearest first
  std::unique_ptr<NewKey> new_key;    // null: the key came from files
  SecretBytes key_pkcs8;              // of `issuing`, else of `root`; empty if there is a `new_key`
  // Where a key that came from files is kept: "file:<folder>". "" if there is a `new_key`.
  std::string key_reference;

  // The certificate that belongs to the key.
  const Certificate& keyed() const { return issuing.has_value() ? *issuing : root; }
};

// Used by SourceWatch alone, one call at a time. Calls block on files or on the network.
class AuthoritySource {
 public:
  virtual ~AuthoritySource() = default;

  // The set that the source offers now, completely validated as of `now`. Called for a fresh store, and when
  // Fingerprint changed. Errors say what is wrong with the set.
  virtual absl::StatusOr<AuthoritySet> Load(absl::Time now) = 0;

  // Bytes that change whenever Load would give another set; "" for a source that never changes by itself. Cheap enough
  // to be called every few seconds.
  virtual absl::StatusOr<std::string> Fingerprint() = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_SOURCE_H_
