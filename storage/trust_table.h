// What the CA's trust is made of, as rows: authorities, bundles, rotations, and the revision of all three.
#ifndef MESHCA_STORAGE_TRUST_TABLE_H_
#define MESHCA_STORAGE_TRUST_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>

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

// What an append asks of the authority that signed.
struct Signer {
  int64_t number = 0;  // by which issuances refer to it
  AuthorityState state = AuthorityState::kRetired;
};

// Every visit goes on until `visit` returns an error, which is then the answer.
class TrustTable {
 public:
  virtual ~TrustTable() = default;

  // In a writing transaction nobody else moves the revision before it ends.
  virtual absl::StatusOr<TrustHead> ReadHead() = 0;
  virtual absl::Status WriteHead(const TrustHead& head) = 0;

  // In the order in which they were first put.
  virtual absl::Status VisitAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredAuthority>)> visit) = 0;
  // Inserts the row, or replaces the one with its id: its number stays, because issuances refer to it.
  virtual absl::Status PutAuthority(const StoredAuthority& authority, absl::string_view mac) = 0;
  virtual absl::Status DeleteAuthority(const std::string& id) = 0;
  // In a writing transaction its state stays what it is until the transaction ends.
  virtual absl::StatusOr<std::optional<Signer>> FindSigner(const std::string& id) = 0;

  virtual absl::StatusOr<uint64_t> HighestBundleNumber() = 0;  // 0: there is none
  virtual absl::StatusOr<std::optional<WithMac<StoredBundle>>> FindNewestBundle() = 0;
  virtual absl::Status VisitBundles(absl::FunctionRef<absl::Status(WithMac<StoredBundle>)> visit) = 0;
  virtual absl::Status InsertBundle(const StoredBundle& bundle, absl::string_view mac) = 0;

  virtual absl::StatusOr<std::optional<WithMac<RootRotation>>> FindNewestRotation() = 0;
  virtual absl::Status VisitRotations(absl::FunctionRef<absl::Status(WithMac<RootRotation>)> visit) = 0;
  // The number of one that has not ended and is not `number`; 0: there is none.
  virtual absl::StatusOr<uint64_t> FindRunningRotationBeside(uint64_t number) = 0;
  // 0: there is none.
  virtual absl::StatusOr<uint64_t> HighestRotationNumber() = 0;
  virtual absl::StatusOr<bool> HasRotation(uint64_t number) = 0;
  // Inserts the row, or replaces the one with its number.
  virtual absl::Status PutRotation(const RootRotation& rotation, absl::string_view mac) = 0;
  virtual absl::Status DeleteRotation(uint64_t number) = 0;  // Ok where there is none
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TRUST_TABLE_H_
