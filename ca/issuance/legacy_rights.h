// Identities that older versions gave to the server's own user on the API socket, and that need an entry now.
#ifndef MESHCA_CA_ISSUANCE_LEGACY_RIGHTS_H_
#define MESHCA_CA_ISSUANCE_LEGACY_RIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/entry_store.h"
#include "ca/issuance/issuance_store.h"

namespace meshca {

// One identity whose newest live certificate went to the server's user without an entry.
struct LegacyRight {
  std::string spiffe_id;
  uint32_t uid = 0;
};

struct LegacyRights {
  static constexpr size_t kShownMax = 20;
  std::vector<LegacyRight> shown;  // the first ones, by SPIFFE ID
  size_t count = 0;                // all of them
  bool counted_all = true;         // false: there are more than could be counted
};

// Those at `now` that no entry of today covers. Reads the records of versions that kept no origin, which all stand
// before the others, and none behind them: a server that began with this version answers after one row. `stop` is asked
// for each record; true ends the search with what was found. Blocks on the database.
absl::StatusOr<LegacyRights> FindLegacyRights(
    IssuanceStore& issuances, EntryStore& entries, absl::Time now,
    const std::function<bool()>& stop = [] { return false; });

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_LEGACY_RIGHTS_H_
