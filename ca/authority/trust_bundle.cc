#include "ca/authority/trust_bundle.h"

#include "absl/strings/str_cat.h"

namespace meshca {

std::string TrustBundle::ToPem() const {
  std::string pem;
  for (const Certificate& root : roots) absl::StrAppend(&pem, root.pem().text());
  return pem;
}

}  // namespace meshca
