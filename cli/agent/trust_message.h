// The trust that a CA tells its agents, as sds/ serves it.
#ifndef MESHCA_CLI_AGENT_TRUST_MESSAGE_H_
#define MESHCA_CLI_AGENT_TRUST_MESSAGE_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/x509/certificate.h"
#include "meshca/agent/v1/agent.pb.h"
#include "sds/trust_source.h"

namespace meshca::agent {

// `message` as a value. InvalidArgument (reason TRUST_MALFORMED) names the trust domain and what is wrong with it: no
// version, no trust domain, one that is there twice, a domain without roots, a root that is no certificate of a CA, a
// JWT key that cannot be read, two of one kid, or more of anything than an agent takes. Tainted JWT keys are left out:
// what is signed by them is believed no more.
absl::StatusOr<std::shared_ptr<const sds::Trust>> ReadTrust(const v1::Trust& message);

// The roots of `domain`, parsed; ReadTrust has seen that each can be.
std::vector<Certificate> RootsOf(const sds::DomainTrust& domain);

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_TRUST_MESSAGE_H_
