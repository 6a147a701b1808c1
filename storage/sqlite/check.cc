#include "storage/sqlite/check.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "storage/audit_chain.h"
#include "storage/sqlite/access_rows.h"
#include "storage/sqlite/audit_rows.h"
#include "storage/sqlite/authority_rows.h"
#include "storage/sqlite/rotation_rows.h"

namespace meshca::storage {
namespace {

using Findings = std::vector<std::string>;

void Note(const absl::Status& status, Findings& findings) {
  if (!status.ok()) findings.emplace_back(status.message());
}

void CheckStructure(Database& database, Findings& findings) {
  Query rows(database, "PRAGMA integrity_check(5)");
  while (rows.Next()) {
    std::string finding = rows.String();
    std::replace(finding.begin(), finding.end(), '\n', ' ');
    if (finding != "ok") findings.push_back(std::move(finding));
  }
  Note(rows.status(), findings);
}

void CheckAuditChain(Database& database, Findings& findings) {
  std::string hash;
  uint64_t sequence = 0;
  Note(VisitAudit(database,
                  [&](const AuditEntry& entry) {
                    const bool follows = AuditEntryFollows(hash, sequence, entry);
                    if (!follows) {
                      findings.push_back(
                          absl::StrCat("audit log: entry ", entry.sequence, " does not follow entry ", sequence));
                    }
                    hash = entry.hash;
                    sequence = entry.sequence;
                    return follows;
                  }),
       findings);
}

void CheckCount(Database& database, const char* sql, absl::string_view finding, Findings& findings) {
  Query count(database, sql);
  if (count.Next() && count.Int() != 0) findings.emplace_back(finding);
  Note(count.status(), findings);
}

void CheckIssuances(Database& database, Findings& findings) {
  CheckCount(database,
             "WITH counted AS (SELECT not_after / 60, authority, count(*) FROM issuance GROUP BY 1, 2)"
             ", kept AS (SELECT minute, authority, count FROM expiry)"
             " SELECT (SELECT count(*) FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept))"
             " + (SELECT count(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted))",
             "issuances: the counters differ from the rows", findings);
  CheckCount(database,
             "SELECT count(*) FROM issuance i LEFT JOIN spiffe_id s ON s.ref = i.spiffe_id LEFT JOIN authority a"
             " ON a.ref = i.authority LEFT JOIN caller c ON c.ref = i.caller LEFT JOIN origin o ON o.ref = i.origin"
             " WHERE s.ref IS NULL OR a.ref IS NULL OR c.ref IS NULL OR (i.origin IS NOT NULL AND o.ref IS NULL)",
             "issuances: some refer to a name that is not there", findings);
}

}  // namespace

absl::Status CheckDatabase(Database& database, const KeyEncryption& keys) {
  Findings findings;
  CheckStructure(database, findings);
  Note(SelectAuthorities(database, keys).status(), findings);
  Note(VerifyBundles(database, keys), findings);
  Note(VerifyRotations(database, keys), findings);
  Note(VerifySealedSettings(database, keys), findings);
  Note(SelectTokens(database, keys).status(), findings);
  Note(SelectEntries(database, keys).status(), findings);
  CheckAuditChain(database, findings);
  CheckIssuances(database, findings);
  if (findings.empty()) return absl::OkStatus();
  // A disk that does not answer is no proof of damage.
  if (absl::IsUnavailable(database.fault())) return database.fault();
  std::string text = absl::StrCat("database ", database.path(), ": ", absl::StrJoin(findings, "; "));
  if (text.find(RestoreAdvice().data()) == std::string::npos) absl::StrAppend(&text, "; ", RestoreAdvice());
  return absl::DataLossError(text);
}

}  // namespace meshca::storage
