// Tells a rotation's steps as events in the cluster.
#ifndef MESHCA_CLI_SERVER_ROTATION_EVENTS_H_
#define MESHCA_CLI_SERVER_ROTATION_EVENTS_H_

#include <cstdint>
#include <optional>

#include "ca/authority/authority_snapshot.h"
#include "ca/authority/root_rotation.h"
#include "ca/kubernetes/object_event.h"

namespace meshca::cli {

// One thread at a time.
class RotationEvents {
 public:
  // The event of the step that was taken since the last call, about `regarding`; nothing: none was. What stood there at
  // the first call is no news.
  std::optional<kubernetes::ObjectEvent> EventOf(const AuthoritySnapshot& snapshot,
                                                 const kubernetes::ObjectReference& regarding);

 private:
  bool knows_ = false;
  uint64_t number_ = 0;  // of the rotation that was seen last; 0: there was none
  RotationStep step_ = RotationStep::kDone;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_ROTATION_EVENTS_H_
