// All tables on one SQLite connection.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_TABLES_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_TABLES_H_

#include "storage/sqlite/database.h"
#include "storage/sqlite/sqlite_audit_table.h"
#include "storage/sqlite/sqlite_consistency.h"
#include "storage/sqlite/sqlite_entry_apply_table.h"
#include "storage/sqlite/sqlite_entry_table.h"
#include "storage/sqlite/sqlite_issuance_table.h"
#include "storage/sqlite/sqlite_node_table.h"
#include "storage/sqlite/sqlite_revocation_table.h"
#include "storage/sqlite/sqlite_setting_table.h"
#include "storage/sqlite/sqlite_subscriber_table.h"
#include "storage/sqlite/sqlite_token_table.h"
#include "storage/sqlite/sqlite_trust_table.h"
#include "storage/tables.h"

namespace meshca::storage {

// Whoever uses the tables begins and ends the transaction on `database`, which outlives them.
class SqliteTables {
 public:
  explicit SqliteTables(Database& database)
      : trust_(database),
        settings_(database),
        audit_(database),
        tokens_(database),
        entries_(database),
        applies_(database),
        issuances_(database),
        revocations_(database),
        subscribers_(database),
        nodes_(database),
        consistency_(database),
        tables_{trust_,     settings_,    audit_,       tokens_, entries_,    applies_,
                issuances_, revocations_, subscribers_, nodes_,  consistency_} {}
  SqliteTables(const SqliteTables&) = delete;
  SqliteTables& operator=(const SqliteTables&) = delete;

  Tables& tables() { return tables_; }
  SqliteIssuanceTable& issuances() { return issuances_; }

 private:
  SqliteTrustTable trust_;
  SqliteSettingTable settings_;
  SqliteAuditTable audit_;
  SqliteTokenTable tokens_;
  SqliteEntryTable entries_;
  SqliteEntryApplyTable applies_;
  SqliteIssuanceTable issuances_;
  SqliteRevocationTable revocations_;
  SqliteSubscriberTable subscribers_;
  SqliteNodeTable nodes_;
  SqliteConsistency consistency_;
  Tables tables_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_TABLES_H_
