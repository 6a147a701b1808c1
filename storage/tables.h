// Everything that a database keeps, as one transaction sees it.
#ifndef MESHCA_STORAGE_TABLES_H_
#define MESHCA_STORAGE_TABLES_H_

#include "storage/audit_table.h"
#include "storage/consistency.h"
#include "storage/entry_apply_table.h"
#include "storage/entry_table.h"
#include "storage/issuance_table.h"
#include "storage/revocation_table.h"
#include "storage/setting_table.h"
#include "storage/subscriber_table.h"
#include "storage/token_table.h"
#include "storage/trust_table.h"

namespace meshca::storage {

// What a rule is given to work on. Tables keep rows: they look up, insert, change and delete what they are told to, and
// decide nothing. Whoever began the transaction ends it; one thread at a time uses the tables, and no longer than the
// transaction lasts. In a writing transaction each table shows what was written through it before, and what was read to
// judge by stays true until the transaction ends: one writer holds an SQLite database, others lock the rows they read.
//
// Errors of every call: Unavailable (the database is away, locked or full), DataLoss (it is damaged). After one of
// these in a writing transaction nothing of the transaction counts (RowWriter::fault).
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
  Consistency& consistency;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TABLES_H_
