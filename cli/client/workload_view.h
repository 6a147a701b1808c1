// What may be shown of the SPIFFE Workload API's answers: everything but the private keys.
#ifndef MESHCA_CLI_CLIENT_WORKLOAD_VIEW_H_
#define MESHCA_CLI_CLIENT_WORKLOAD_VIEW_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/x509/certificate.h"

class X509BundlesResponse;
class X509SVIDResponse;

namespace meshca::cli {

// One X.509-SVID.
struct WorkloadSvidView {
  std::string spiffe_id;
  std::string hint;
  std::string serial;
  absl::Time not_after;
  std::string chain_pem;
  bool has_private_key = false;
};

// What verifies the SVIDs of one trust domain.
struct WorkloadBundleView {
  std::string trust_domain;  // its ID, `spiffe://td`
  std::vector<std::string> fingerprints;
  std::string pem;
  std::vector<std::string> jwt_key_ids;
  std::string jwks;  // "": not asked for
};

struct WorkloadX509View {
  std::vector<WorkloadSvidView> svids;
  std::vector<WorkloadBundleView> bundles;  // by trust domain
};

// The certificates of `der`, one behind the other. InvalidArgument: not that.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(absl::string_view der);

// The private keys are wiped from `response` before anything else looks at it. InvalidArgument: it holds something that
// the standard forbids.
absl::StatusOr<WorkloadX509View> ReadWorkloadX509(X509SVIDResponse& response);
absl::StatusOr<std::vector<WorkloadBundleView>> ReadWorkloadBundles(const X509BundlesResponse& response);

// Adds a JWK set to the bundle of its trust domain. InvalidArgument: it is none.
absl::Status AddJwtKeys(const std::string& trust_domain, const std::string& jwks,
                        std::vector<WorkloadBundleView>& bundles);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_WORKLOAD_VIEW_H_
