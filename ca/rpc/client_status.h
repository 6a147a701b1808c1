// What of an error a client may see.
#ifndef MESHCA_CA_RPC_CLIENT_STATUS_H_
#define MESHCA_CA_RPC_CLIENT_STATUS_H_

#include <optional>

#include "absl/status/status.h"

namespace meshca::rpc {

// `error` as a client of an API is told: codes that say what to do pass (Ok, InvalidArgument, Unauthenticated,
// PermissionDenied, ResourceExhausted, Unavailable, Cancelled, DeadlineExceeded); FailedPrecondition and Aborted become
// Unavailable with the same sentence and reason, which clients take for "again"; AlreadyExists passes where it has
// a reason.
// nullopt: its details are for the log alone, and the service says Internal.
std::optional<absl::Status> ClientStatus(const absl::Status& error);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_STATUS_H_
