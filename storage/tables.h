// All tables of a database, as one transaction sees them.
#ifndef MESHCA_STORAGE_TABLES_H_
#define MESHCA_STORAGE_TABLES_H_

#include "storage/audit_table.h"
#include "storage/consistency.h"
#include "storage/entry_apply_table.h"
#include "storage/entry_table.h"
#include "storage/issuance_table.h"
#include "storage/node_table.h"
#include "storage/revocation_table.h"
#include "storage/setting_table.h"
#include "storage/subscriber_table.h"
#include "storage/token_table.h"
#include "storage/trust_table.h"

namespace meshca::storage {

// What the rules work on. Tables look up, insert, change and delete rows, and decide nothing. Whoever began the
// transaction ends it; the tables are used by one thread at a time, and only while the transaction lasts. In a writing
// transaction each table shows what was written through it before, and what was read stays true until the transaction
// ends: an SQLite database has one writer, other databases lock the rows that are read.
//
// Errors of every call: Unavailable (the database is away, locked or full), DataLoss (it is damaged). After one of
// these a writing transaction can only be rolled back (RowWriter::fault).
struct Tables {
  TrustTable& trust;
  SettingTable& settings;
  AuditTable& audit;
  TokenTable& tokens;
  EntryTable& entries;
  EntryApplyTable& applies;
  IssuanceTable& issuances;
  RevocationTable& revocations;
  SubscriberTable& subscribers;
  NodeTable& nodes;
  Consistency& consistency;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TABLES_H_
