// A SQLite store in a folder of its own.
#ifndef MESHCA_TEST_STORAGE_SQLITE_HARNESS_H_
#define MESHCA_TEST_STORAGE_SQLITE_HARNESS_H_

#include <memory>
#include <string>

#include "ca/base/check.h"
#include "gtest/gtest.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/sqlite_store.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/temp_folder.h"
#include "test/storage/conformance.h"

namespace meshca::storage {

class SqliteHarness final : public StoreHarness {
 public:
  explicit SqliteHarness(bool open = true)
      : keys_(*KeyEncryption::FromKey(SecretBytes(std::string(32, 'k')))), clock_(kTestNow) {
    options_.path = folder_ / "meshca.db";
    options_.keys = &keys_;
    options_.clock = &clock_;
    if (open) MESHCA_CHECK(Reopen());
  }

  Store& store() override { return *store_; }
  bool Reopen() override {
    store_.reset();
    auto store = OpenSqliteStore(options_);
    if (!store.ok()) ADD_FAILURE() << store.status();
    if (store.ok()) store_ = *std::move(store);
    return store_ != nullptr;
  }
  void Close() { store_.reset(); }

  SqliteOptions& options() { return options_; }
  const std::string& path() const { return options_.path; }
  const TempFolder& folder() const { return folder_; }
  FakeClock& clock() { return clock_; }

 private:
  TempFolder folder_;
  KeyEncryption keys_;
  FakeClock clock_;
  SqliteOptions options_;
  std::unique_ptr<Store> store_;
};

// What a test does to the database of a store, or sees in it, by a connection of its own.
inline void Exec(const std::string& path, const std::string& sql) {
  ConnectionOptions options;
  options.path = path;
  options.query_only = false;
  auto database = Database::Open(options);
  ASSERT_TRUE(database.ok()) << database.status();
  const absl::Status done = (*database)->Exec(sql);
  ASSERT_TRUE(done.ok()) << done;
}

// How many rows `rows` names: a table, with a condition behind it or without.
inline int64_t Count(const std::string& path, const std::string& rows) {
  ConnectionOptions options;
  options.path = path;
  auto database = Database::Open(options);
  EXPECT_TRUE(database.ok()) << database.status();
  return database.ok() ? *(*database)->Int("SELECT count(*) FROM " + rows) : -1;
}

}  // namespace meshca::storage

#endif  // MESHCA_TEST_STORAGE_SQLITE_HARNESS_H_
