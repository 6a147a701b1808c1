#include "ca/x509/key_request.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/der.h"

namespace meshca {

absl::StatusOr<Der> MakeKeyRequest(const SigningKey& key) {
  // CertificationRequestInfo: version v1 (0), the empty Name, the key, and the empty set of attributes.
  std::string info = der::MakeElement(der::kInteger, absl::string_view("\0", 1));
  der::AppendElement(der::kSequence, "", info);
  absl::StrAppend(&info, key.public_key().spki());
  der::AppendElement(der::ContextConstructed(0), "", info);
  info = der::MakeElement(der::kSequence, info);
  MESHCA_ASSIGN_OR_RETURN(const std::string signature, key.Sign(info));
  absl::StrAppend(&info, key.signature_algorithm());
  der::AppendElement(der::kBitString, absl::StrCat(absl::string_view("\0", 1), signature), info);
  return Der(der::MakeElement(der::kSequence, info));
}

}  // namespace meshca
