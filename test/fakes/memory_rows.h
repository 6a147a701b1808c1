// The rows of a database in memory, and copies of them that cost nothing until they are changed.
#ifndef MESHCA_TEST_FAKES_MEMORY_ROWS_H_
#define MESHCA_TEST_FAKES_MEMORY_ROWS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ca/authority/authority_store.h"
#include "ca/identity/audit_entry.h"
#include "ca/identity/node_store.h"
#include "ca/identity/token_store.h"
#include "ca/issuance/issuance_store.h"
#include "ca/subscribers/subscriber_record.h"
#include "storage/entry_apply_table.h"
#include "storage/setting_table.h"
#include "storage/trust_table.h"
#include "storage/with_mac.h"

namespace meshca {

// One table, shared by all copies of it until one of them is written to. Copies are made, written to and destroyed
// under the lock of their database.
template <typename Rows>
class SharedRows {
 public:
  const Rows& operator*() const { return *rows_; }
  const Rows* operator->() const { return rows_.get(); }
  Rows& Write() {
    if (rows_.use_count() > 1) rows_ = std::make_shared<Rows>(*rows_);
    return *rows_;
  }

 private:
  std::shared_ptr<Rows> rows_ = std::make_shared<Rows>();
};

struct MemoryTrust {
  storage::TrustHead head;
  std::vector<storage::WithMac<StoredAuthority>> authorities;         // in the order in which they were first put
  std::vector<std::string> signers;                                   // ids by Signer::number - 1; never shrinks
  std::vector<storage::WithMac<StoredJwtAuthority>> jwt_authorities;  // in the order in which they were first put
  std::map<uint64_t, storage::WithMac<StoredBundle>> bundles;         // without their JWT keys
  std::map<uint64_t, storage::WithMac<storage::BundleJwtKeys>> bundle_jwt_keys;
  std::map<uint64_t, storage::WithMac<RootRotation>> rotations;
};

struct MemoryEntry {
  storage::WithMac<RegistrationEntry> entry;
  uint64_t since = 0;  // the apply that brought it; 0: none
  uint64_t until = 0;  // the apply that takes it away; 0: none
  uint64_t place = 0;
  bool id_made = false;
  bool unchanged = false;
};

struct MemoryEntries {
  std::map<int64_t, MemoryEntry> rows;  // by ref
  std::map<uint64_t, storage::EntryApplyRow> applies;
  int64_t last_ref = 0;
  uint64_t last_apply = 0;
};

struct MemoryIssuance {
  int64_t number = 0;
  std::shared_ptr<const IssuanceRecord> record;  // as it is handed out, but for what was revoked since
};

struct MemoryIssuances {
  std::vector<MemoryIssuance> rows;                     // oldest first
  absl::flat_hash_map<std::string, int64_t> by_serial;  // bytes -> number
  int64_t last_number = 0;
};

struct MemoryRevocation {
  int64_t not_after = 0;
  int64_t operation = 0;
};

struct MemoryRevocations {
  struct Operation {
    storage::Revocation revocation;
    bool done = false;
  };
  std::map<int64_t, Operation> operations;
  std::map<std::string, MemoryRevocation> certificates, lines, keys;
  int64_t last_operation = 0;
};

struct MemoryRows {
  SharedRows<MemoryTrust> trust;
  SharedRows<std::map<std::string, storage::WithMac<storage::SettingRow>>> settings;
  SharedRows<std::vector<AuditEntry>> audit;
  SharedRows<std::map<std::string, storage::WithMac<JoinToken>>> tokens;  // by id
  SharedRows<MemoryEntries> entries;
  SharedRows<MemoryIssuances> issuances;
  SharedRows<MemoryRevocations> revocations;
  SharedRows<std::map<std::string, SubscriberRecord>> subscribers;        // by instance
  SharedRows<std::map<std::string, storage::WithMac<NodeRecord>>> nodes;  // by name
  int64_t batch = 0;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_MEMORY_ROWS_H_
