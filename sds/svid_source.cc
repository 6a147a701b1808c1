#include "sds/svid_source.h"

namespace meshca::sds {

std::string Svid::ChainPem() const {
  if (issuers_pem == nullptr) return chain.ToPem();
  std::string pem = chain.LeafPem().text();
  for (const std::string& issuer : *issuers_pem) pem += issuer;
  return pem;
}

bool IsFinalRefusal(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) || absl::IsInvalidArgument(status);
}

}  // namespace meshca::sds
