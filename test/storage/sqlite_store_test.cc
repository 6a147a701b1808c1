#include "storage/sqlite/sqlite_store.h"

#include <gmock/gmock.h>

#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance,
                         testing::Values(StoreKind{"Sqlite", [] { return std::make_unique<SqliteHarness>(); }}),
                         StoreKindName);

}  // namespace
}  // namespace meshca::storage
