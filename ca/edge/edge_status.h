// What of an error a client may see, by the service that tells it.
#ifndef MESHCA_CA_EDGE_EDGE_STATUS_H_
#define MESHCA_CA_EDGE_EDGE_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/base/entropy.h"

namespace meshca {

// The error as the CSR service says it: rpc::ClientStatus, whose Unavailable istio's clients retry. Where that has
// nothing for clients, Internal with a request id and nothing more; the details go to the log under that id, beside
// `what`.
absl::Status CsrEdgeStatus(const absl::Status& error, absl::string_view what, EntropySource& entropy);

// The same for a proxy or a workload that asks for secrets. It has no request id to show to anybody, and reports the
// sentence in its own log, so the details go to ours without one. `service` stands in front of both.
absl::Status SdsEdgeStatus(const absl::Status& error, absl::string_view service = "SDS");

// The same for the operator, who may see everything but what only the log should hold: Internal and Unknown carry the
// request id beside the sentence.
absl::Status AdminEdgeStatus(const absl::Status& error, absl::string_view what, EntropySource& entropy);

}  // namespace meshca

#endif  // MESHCA_CA_EDGE_EDGE_STATUS_H_
