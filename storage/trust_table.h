// Database rows of authorities, JWT keys, bundles and rotations, and the revision number of all of them together.
#ifndef MESHCA_STORAGE_TRUST_TABLE_H_
#define MESHCA_STORAGE_TRUST_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/root_rotation.h"
#include "ca/authority/signing_authority.h"
#include "storage/with_mac.h"

namespace meshca::storage {

struct TrustHead {
  std::string trust_domain;  // "" in a fresh store
  uint64_t revision = 0;
};

// What the recording of a certificate needs to know of the authority that signed it.
struct Signer {
  int64_t number = 0;  // the authority's number in the rows of issuances
  AuthorityState state = AuthorityState::kRetired;
};

// The JWT keys of one bundle: a row beside the bundle's, because a release that knows none writes bundles too.
struct BundleJwtKeys {
  uint64_t sequence_number = 0;
  std::vector<std::string> keys_der;  // StoredBundle::jwt_keys_der
};

// Every Visit... goes on until `visit` returns an error, which is then returned.
class TrustTable {
 public:
  virtual ~TrustTable() = default;

  // In a writing transaction nobody else changes the revision before the transaction ends.
  virtual absl::StatusOr<TrustHead> ReadHead() = 0;
  virtual absl::Status WriteHead(const TrustHead& head) = 0;

  // In the order in which they were first put.
  virtual absl::Status VisitAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredAuthority>)> visit) = 0;
  // Inserts the row, or replaces the row with its id. Signer::number does not change, because issuances refer to it.
  virtual absl::Status PutAuthority(const StoredAuthority& authority, absl::string_view mac) = 0;
  virtual absl::Status DeleteAuthority(const std::string& id) = 0;
  // nullopt: unknown. In a writing transaction nobody else changes its state before the transaction ends.
  virtual absl::StatusOr<std::optional<Signer>> FindSigner(const std::string& id) = 0;

  // In the order in which they were first put.
  virtual absl::Status VisitJwtAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredJwtAuthority>)> visit) = 0;
  // Inserts the row, or replaces the row with its key_id.
  virtual absl::Status PutJwtAuthority(const StoredJwtAuthority& authority, absl::string_view mac) = 0;

  virtual absl::StatusOr<uint64_t> HighestBundleNumber() = 0;  // 0: there is none
  virtual absl::StatusOr<std::optional<WithMac<StoredBundle>>> FindNewestBundle() = 0;
  virtual absl::Status VisitBundles(absl::FunctionRef<absl::Status(WithMac<StoredBundle>)> visit) = 0;
  // A bundle's JWT keys stand in a row of their own: the three calls above leave StoredBundle::jwt_keys_der empty, and
  // InsertBundle does not look at it.
  virtual absl::Status InsertBundle(const StoredBundle& bundle, absl::string_view mac) = 0;
  // nullopt: no JWT key was published with that bundle.
  virtual absl::StatusOr<std::optional<WithMac<BundleJwtKeys>>> FindBundleJwtKeys(uint64_t sequence_number) = 0;
  virtual absl::Status VisitBundleJwtKeys(absl::FunctionRef<absl::Status(WithMac<BundleJwtKeys>)> visit) = 0;
  virtual absl::Status InsertBundleJwtKeys(const BundleJwtKeys& keys, absl::string_view mac) = 0;

  virtual absl::StatusOr<std::optional<WithMac<RootRotation>>> FindNewestRotation() = 0;
  virtual absl::Status VisitRotations(absl::FunctionRef<absl::Status(WithMac<RootRotation>)> visit) = 0;
  // The number of a rotation that has not ended, other than rotation `number`; 0: there is none.
  virtual absl::StatusOr<uint64_t> FindRunningRotationBeside(uint64_t number) = 0;
  // 0: there is none.
  virtual absl::StatusOr<uint64_t> HighestRotationNumber() = 0;
  virtual absl::StatusOr<bool> HasRotation(uint64_t number) = 0;
  // Inserts the row, or replaces the row with its number.
  virtual absl::Status PutRotation(const RootRotation& rotation, absl::string_view mac) = 0;
  virtual absl::Status DeleteRotation(uint64_t number) = 0;  // Ok if there is none
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TRUST_TABLE_H_
