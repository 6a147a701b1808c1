#include "sds/trust_source.h"

namespace meshca::sds {

std::string DomainTrust::RootsPem() const {
  std::string pem;
  for (const Der& root : roots) AppendPem(kPemCertificate, root.bytes(), pem);
  return pem;
}

}  // namespace meshca::sds
