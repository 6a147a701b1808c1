// Throwaway certificates for TLS tests.
#ifndef MESHCA_TEST_CA_RPC_TEST_CERTIFICATES_H_
#define MESHCA_TEST_CA_RPC_TEST_CERTIFICATES_H_

#include <string>

#include "ca/base/openssl_ptr.h"
#include "ca/rpc/tls_context.h"

namespace meshca::rpc {

struct TestCertificate {
  X509Ptr certificate;
  EvpPkeyPtr key;
  std::string der() const;
};

// A self-signed P-256 certificate with that common name, valid for a day.
TestCertificate MakeCertificate(const std::string& common_name);

// Options that show `certificate`.
TlsOptions ServerOptionsWith(const TestCertificate& certificate);

// The common name of a DER certificate.
std::string CommonNameOf(const std::string& der);

}  // namespace meshca::rpc

#endif  // MESHCA_TEST_CA_RPC_TEST_CERTIFICATES_H_
