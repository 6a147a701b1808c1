// A SQLite store in a folder of its own.
#ifndef MESHCA_TEST_STORAGE_SQLITE_HARNESS_H_
#define MESHCA_TEST_STORAGE_SQLITE_HARNESS_H_

#include <memory>
#include <string>

#include "ca/base/check.h"
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
  std::unique_ptr<SqliteStore> store_;
};

}  // namespace meshca::storage

#endif  // MESHCA_TEST_STORAGE_SQLITE_HARNESS_H_
