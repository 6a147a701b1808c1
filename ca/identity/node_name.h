// Names of nodes, and the SPIFFE IDs of their agents.
#ifndef MESHCA_CA_IDENTITY_NODE_NAME_H_
#define MESHCA_CA_IDENTITY_NODE_NAME_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// As long as a DNS name may be: most nodes are called by theirs.
inline constexpr size_t kNodeNameBytesMax = 253;

// A node name is 1-253 bytes: labels of `[a-z0-9-]`, joined by dots, none of them empty, each beginning and ending with
// a letter or a digit. InvalidArgument (reason NODE_NAME) quotes the name and says which rule it breaks.
absl::Status CheckNodeName(absl::string_view name);
// A pattern over node names (ca/base/glob.h) that can fit one: 1-253 bytes of `[a-z0-9.-]`, `*` and `?`.
// InvalidArgument (reason NODE_GLOB).
absl::Status CheckNodeGlob(absl::string_view glob);

// `spiffe://TD/meshca/agent/NODE`. InvalidArgument: CheckNodeName's.
absl::StatusOr<SpiffeId> AgentId(const TrustDomain& trust_domain, absl::string_view node);
// Is the path below `/meshca/agent/`? Only a node's agent ever has such an identity, and only with a node name there.
bool IsAgentId(const SpiffeId& id);
// The node whose agent has this ID; "" for every other ID. Valid as long as `id`.
absl::string_view NodeOfAgent(const SpiffeId& id);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_NODE_NAME_H_
