// Forecasts what a root rotation begun now would be like: its steps, their durations, and who would be behind.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_FORECAST_H_
#define MESHCA_CA_AUTHORITY_ROTATION_FORECAST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/rotation_watch.h"

namespace meshca {

// Judges an imagined rotation, whose bundle with both roots is published at `now`, by the present evidence: who would
// have to act, and whose connections would fail if it were forced through. Changes nothing. `plugged_in_folder` is ""
// if meshca makes its own root. Blocks on the inventory and on `store`, and returns their errors.
absl::StatusOr<RotationForecast> ForecastRotation(const RotationWatch& watch, const AuthoritySnapshot& snapshot,
                                                  const std::string& plugged_in_folder, AuthorityStore& store,
                                                  absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_FORECAST_H_
