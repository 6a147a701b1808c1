#include "storage/sqlite/sqlite_consistency.h"

#include <algorithm>
#include <utility>

namespace meshca::storage {

void SqliteConsistency::CheckStructure(std::vector<std::string>& findings) {
  Query rows(database_, "PRAGMA integrity_check(5)");
  while (rows.Next()) {
    std::string finding = rows.String();
    std::replace(finding.begin(), finding.end(), '\n', ' ');
    if (finding != "ok") findings.push_back(std::move(finding));
  }
  if (!rows.status().ok()) findings.emplace_back(rows.status().message());
}

void SqliteConsistency::CheckIsZero(const char* sql, absl::string_view finding, std::vector<std::string>& findings) {
  Query count(database_, sql);
  if (count.Next() && count.Int() != 0) findings.emplace_back(finding);
  if (!count.status().ok()) findings.emplace_back(count.status().message());
}

void SqliteConsistency::CheckIssuances(std::vector<std::string>& findings) {
  CheckIsZero(
      "WITH counted AS (SELECT not_after / 60, authority, count(*) FROM issuance GROUP BY 1, 2)"
      ", kept AS (SELECT minute, authority, count FROM expiry)"
      " SELECT (SELECT count(*) FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept))"
      " + (SELECT count(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted))",
      "issuances: the counters differ from the rows", findings);
  CheckIsZero(
      "SELECT count(*) FROM issuance i LEFT JOIN spiffe_id s ON s.ref = i.spiffe_id LEFT JOIN authority a"
      " ON a.ref = i.authority LEFT JOIN caller c ON c.ref = i.caller LEFT JOIN origin o ON o.ref = i.origin"
      " WHERE s.ref IS NULL OR a.ref IS NULL OR c.ref IS NULL OR (i.origin IS NOT NULL AND o.ref IS NULL)",
      "issuances: some refer to a name that is not there", findings);
}

}  // namespace meshca::storage
