// Where authorities come from: made here, plugged in, or (later) signed upstream.
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

// What a source offers: a root, perhaps an issuing authority under it, and the private key of one of the two, either
// made by the key store (`new_key`) or read from files (`key_pkcs8`).
struct AuthoritySet {
  Certificate root;  // the one the chain ends in
  // Roots to trust beside it. Never the chain's own.
  std::vector<Certificate> more_roots;
  // Nothing: the key is the root's, and meshca makes issuing authorities under it by itself.
  std::optional<Certificate> issuing;
  std::vector<Certificate> upstream;  // between issuing and root, nearest first
  std::unique_ptr<NewKey> new_key;    // null: the key came from files
  SecretBytes key_pkcs8;              // of `issuing`, else of `root`; empty beside a `new_key`
  // Where a key from files stays: "file:<folder>". "" beside a `new_key`.
  std::string key_reference;

  // The certificate that belongs to the key.
  const Certificate& keyed() const { return issuing.has_value() ? *issuing : root; }
};

// Used by SourceWatch alone, one call at a time. Calls block on files or on the network.
class AuthoritySource {
 public:
  virtual ~AuthoritySource() = default;

  // What stands there now, validated whole. Called on a fresh store and when Fingerprint changed.
  virtual absl::StatusOr<AuthoritySet> Load(absl::Time now) = 0;

  // Bytes that are others when Load would give another set; "" for a source that never changes by itself. Cheap
  // enough for every few seconds.
  virtual absl::StatusOr<std::string> Fingerprint() = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_SOURCE_H_
