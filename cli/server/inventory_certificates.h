// What the CA's inventory says of certificates, as those who serve secrets ask it.
#ifndef MESHCA_CLI_SERVER_INVENTORY_CERTIFICATES_H_
#define MESHCA_CLI_SERVER_INVENTORY_CERTIFICATES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/issuance/issuance_store.h"
#include "sds/caller_certificates.h"
#include "sds/revocation_source.h"

namespace meshca::cli {

// Of a client certificate it has the store's verdict (IssuanceStore::JudgePresented). Thread-safe; blocks on the
// database.
class InventoryCertificates final : public sds::CallerCertificates, public sds::RevocationSource {
 public:
  // `issuances` outlives it.
  explicit InventoryCertificates(IssuanceStore& issuances) : issuances_(issuances) {}

  absl::StatusOr<sds::CertificateAncestry> Judge(const PresentedCertificate& shown,
                                                 const std::shared_ptr<const TrustedOrigins>& trusted_origins) override;
  absl::StatusOr<std::string> ParentOf(absl::string_view serial) override;
  absl::StatusOr<bool> IsRevoked(absl::string_view serial) override;

 private:
  IssuanceStore& issuances_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_INVENTORY_CERTIFICATES_H_
