// The interface to wait for a change of the stored authorities. storage/ implements it.
#ifndef MESHCA_CA_AUTHORITY_REVISION_WAITS_H_
#define MESHCA_CA_AUTHORITY_REVISION_WAITS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca {

// Thread-safe.
class RevisionWaits {
 public:
  virtual ~RevisionWaits() = default;

  // Blocks until the stored revision (AuthoritiesAndBundle::revision) is above `known`, and returns it. A commit of
  // this process wakes the caller at once, one of another process within a second. DeadlineExceeded: `wait_max` ran
  // out. Cancelled: EndRevisionWaits. Unavailable: the database is away.
  virtual absl::StatusOr<uint64_t> WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) = 0;
  // Ends every wait with Cancelled, and those that begin later too. Called at shutdown, before waiting threads are
  // joined.
  virtual void EndRevisionWaits() = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_REVISION_WAITS_H_
