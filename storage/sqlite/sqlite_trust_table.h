// TrustTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_TRUST_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_TRUST_TABLE_H_

#include <optional>
#include <string>

#include "storage/sqlite/database.h"
#include "storage/trust_table.h"

namespace meshca::storage {

class SqliteTrustTable final : public TrustTable {
 public:
  explicit SqliteTrustTable(Database& database) : database_(database) {}

  absl::StatusOr<TrustHead> ReadHead() override;
  absl::Status WriteHead(const TrustHead& head) override;

  absl::Status VisitAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredAuthority>)> visit) override;
  absl::Status PutAuthority(const StoredAuthority& authority, absl::string_view mac) override;
  absl::Status DeleteAuthority(const std::string& id) override;
  absl::StatusOr<std::optional<Signer>> FindSigner(const std::string& id) override;

  absl::Status VisitJwtAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredJwtAuthority>)> visit) override;
  absl::Status PutJwtAuthority(const StoredJwtAuthority& authority, absl::string_view mac) override;

  absl::StatusOr<uint64_t> HighestBundleNumber() override;
  absl::StatusOr<std::optional<WithMac<StoredBundle>>> FindNewestBundle() override;
  absl::Status VisitBundles(absl::FunctionRef<absl::Status(WithMac<StoredBundle>)> visit) override;
  absl::Status InsertBundle(const StoredBundle& bundle, absl::string_view mac) override;
  absl::StatusOr<std::optional<WithMac<BundleJwtKeys>>> FindBundleJwtKeys(uint64_t sequence_number) override;
  absl::Status VisitBundleJwtKeys(absl::FunctionRef<absl::Status(WithMac<BundleJwtKeys>)> visit) override;
  absl::Status InsertBundleJwtKeys(const BundleJwtKeys& keys, absl::string_view mac) override;

  absl::StatusOr<std::optional<WithMac<RootRotation>>> FindNewestRotation() override;
  absl::Status VisitRotations(absl::FunctionRef<absl::Status(WithMac<RootRotation>)> visit) override;
  absl::StatusOr<uint64_t> FindRunningRotationBeside(uint64_t number) override;
  absl::StatusOr<uint64_t> HighestRotationNumber() override;
  absl::StatusOr<bool> HasRotation(uint64_t number) override;
  absl::Status PutRotation(const RootRotation& rotation, absl::string_view mac) override;
  absl::Status DeleteRotation(uint64_t number) override;

 private:
  // The whole number in the first column of the only row of `query`.
  absl::StatusOr<uint64_t> AnswerOf(Query& query);

  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_TRUST_TABLE_H_
