#include "cli/server/inventory_certificates.h"

#include <utility>

#include "ca/base/status.h"
#include "ca/x509/serial_number.h"

namespace meshca::cli {

absl::StatusOr<sds::CertificateAncestry> InventoryCertificates::Judge(
    const PresentedCertificate& shown, const std::shared_ptr<const TrustedOrigins>& trusted_origins) {
  MESHCA_ASSIGN_OR_RETURN(IssuanceRecord record, issuances_.JudgePresented(shown, trusted_origins));
  return sds::CertificateAncestry{std::move(record.parent_serial), std::move(record.line_serial)};
}

absl::StatusOr<std::string> InventoryCertificates::ParentOf(absl::string_view serial) {
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber number, SerialNumber::FromHex(serial));
  MESHCA_ASSIGN_OR_RETURN(IssuanceRecord record, issuances_.Find(number));
  return std::move(record.parent_serial);
}

absl::StatusOr<bool> InventoryCertificates::IsRevoked(absl::string_view serial) {
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber number, SerialNumber::FromHex(serial));
  const absl::StatusOr<IssuanceRecord> record = issuances_.Find(number);
  if (absl::IsNotFound(record.status())) return false;
  MESHCA_RETURN_IF_ERROR(record.status());
  return record->revoked_at != absl::InfiniteFuture();
}

}  // namespace meshca::cli
