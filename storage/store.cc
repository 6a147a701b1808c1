#include "storage/store.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/identity/join_token_terms.h"

namespace meshca::storage {

absl::Status CertificateNotRecorded(const PresentedCertificate& shown) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat(
                        "client certificate ", shown.serial, ": this CA has no record of having issued it to ",
                        shown.spiffe_id.uri(), "; join again with a token: ", NewTokenCommand(shown.spiffe_id))),
                    kCertificateNotRecorded);
}

}  // namespace meshca::storage
