// What was last seen of a rotation, for whoever asks.
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
  // `waiting_for`: what the step waits for, one sentence. `ends_about`: RotationWatch::EstimateEnd.
  void KeepView(const RotationView& view, std::string waiting_for, absl::Time ends_about);
  // How the last attempt at a step ended. It stands until the next one, and is logged when it is news.
  void KeepError(const absl::Status& status);

  // The rotation of `snapshot`, with what was last seen of its step. `frozen`: what is wrong with the clock.
  RotationReport MakeReport(const AuthoritySnapshot& snapshot, absl::Duration emergency_grace,
                            std::string frozen) const;

 private:
  mutable Mutex mutex_;
  RotationReport last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_REPORTER_H_
