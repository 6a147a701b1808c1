// Keys, certificate requests and answers of the agents' protocol, as a load needs them.
#ifndef MESHCA_TEST_BENCH_AGENT_WIRE_H_
#define MESHCA_TEST_BENCH_AGENT_WIRE_H_

#include <openssl/x509.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/openssl_ptr.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::bench {

using X509StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;

EvpPkeyPtr MakeP256Key();

// A PKCS#10 request for `key`, DER. It names nobody: the CA takes its key alone.
std::string CsrOf(EVP_PKEY* key);

// serialNumber of a DER certificate, as the CA writes it: lower-case hex. Reads no further than that, because a load
// that parsed each certificate would be busier than the CA. InvalidArgument: no certificate.
absl::StatusOr<std::string> SerialOf(absl::string_view certificate);

// Ok: the answer's leaf is for the key of `csr`, names `spiffe_id` and nothing else, and leads by way of the rest to a
// root of `roots`. Errors: DataLoss, which says what is wrong.
absl::Status CheckAnswer(const agent::v1::CertificateResult& answer, absl::string_view csr, absl::string_view spiffe_id,
                         X509_STORE* roots);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_AGENT_WIRE_H_
