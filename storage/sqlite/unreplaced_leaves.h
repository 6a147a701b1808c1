// LeafInventory in SQL: who still depends on what a rotation is about to take away.
#ifndef MESHCA_STORAGE_SQLITE_UNREPLACED_LEAVES_H_
#define MESHCA_STORAGE_SQLITE_UNREPLACED_LEAVES_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ca/authority/leaf_inventory.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// LeafInventory::VisitUnreplaced, on a connection of its own to the database of `reader`. What replaces others is
// kept aside by SQLite in two sorted sets, read out of `issuance` once each; beyond 2 MiB they go to temporary files,
// or stay in memory where the machine has no place for such files. Time grows as n log n of the live leaves.
absl::Status VisitUnreplacedLeaves(const ConnectionOptions& reader, const LeafQuery& query,
                                   absl::FunctionRef<bool(const LiveLeaf&)> visit);

// The statement, for the test that looks at its plan.
const char* UnreplacedLeavesSql();

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_UNREPLACED_LEAVES_H_
