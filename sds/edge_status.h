// What of an error an SDS client sees.
#ifndef MESHCA_SDS_EDGE_STATUS_H_
#define MESHCA_SDS_EDGE_STATUS_H_

#include "absl/status/status.h"

namespace meshca::sds {

// rpc::ClientStatus; where that has nothing for clients, the error goes to the log, and the client gets Internal
// without its details.
absl::Status EdgeStatus(const absl::Status& error);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_EDGE_STATUS_H_
