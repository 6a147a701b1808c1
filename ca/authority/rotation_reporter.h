// Remembers what was last found out about a rotation, for `meshca root status` and the metrics.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_REPORTER_H_
#define MESHCA_CA_AUTHORITY_ROTATION_REPORTER_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/rotation_watch.h"
#include "ca/base/mutex.h"

namespace meshca {

// Thread-safe: asking never waits for a look at the inventory.
class RotationReporter {
 public:
  // Remembers the newest view. `waiting_for`: what the step waits for, one sentence. `ends_about`: see
  // RotationWatch::EstimateEnd.
  void KeepView(const RotationView& view, std::string waiting_for, absl::Time ends_about);
  // Remembers how the last attempt at a step ended, until the next call. Logs an error that is not the one before.
  void KeepError(const absl::Status& status);

  // A report on the rotation of `snapshot`, with the newest view of its step. `frozen`: RotationReport::frozen.
  RotationReport MakeReport(const AuthoritySnapshot& snapshot, absl::Duration emergency_grace,
                            std::string frozen) const;

 private:
  mutable Mutex mutex_;
  RotationReport last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_REPORTER_H_
