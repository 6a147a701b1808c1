// What of an error an SDS client sees.
#ifndef MESHCA_SDS_EDGE_STATUS_H_
#define MESHCA_SDS_EDGE_STATUS_H_

#include "absl/status/status.h"

namespace meshca::sds {

// The codes that tell a client what to do pass; FailedPrecondition and Aborted become Unavailable, which says "again".
// Anything else goes to the log, and the client gets Internal without its details.
absl::Status EdgeStatus(const absl::Status& error);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_EDGE_STATUS_H_
