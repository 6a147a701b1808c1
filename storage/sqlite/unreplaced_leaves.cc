#include "storage/sqlite/unreplaced_leaves.h"

#include <memory>

#include "ca/base/status.h"
#include "ca/x509/encoding.h"
#include "storage/sqlite/row_times.h"

namespace meshca::storage {
namespace {

// ?1 alive at, ?2 root, ?3 issued before, ?4 the SPIFFE ID left out.
//
// Each NOT IN has one column and no NULL on its right: SQLite then fills a sorted set once and looks each leaf up in
// it. With (spiffe_id, instance) as a pair it would read the whole set again for each leaf it does not find there, to
// rule out a NULL. One that is revoked can renew nothing, so it waits for no rotation. No instance is NULL here, never
// ''. CROSS JOIN fixes the order of the loops.
constexpr char kSql[] = R"sql(WITH replacing AS NOT MATERIALIZED (
  SELECT r.spiffe_id, r.instance
  FROM issuance r CROSS JOIN authority a ON a.ref = r.authority
  WHERE r.not_after >= ?1 AND CASE WHEN ?2 = '' THEN r.issued_at >= ?3 ELSE a.root_id <> ?2 END)
SELECT i.serial, s.uri, i.instance, i.node, c.method, c.subject, ifnull(o.kind, 0), ifnull(o.reference, ''), a.id,
  i.not_before, i.issued_at, i.not_after
FROM issuance i CROSS JOIN authority a ON a.ref = i.authority CROSS JOIN spiffe_id s ON s.ref = i.spiffe_id
  CROSS JOIN caller c ON c.ref = i.caller LEFT JOIN origin o ON o.ref = i.origin
WHERE i.not_after >= ?1 AND (?2 = '' OR a.root_id = ?2) AND i.issued_at < ?3 AND s.uri <> ?4
  AND i.serial NOT IN (SELECT parent FROM issuance WHERE parent IS NOT NULL)
  AND ifnull(i.spiffe_id || ' ' || i.instance, '') NOT IN (
    SELECT spiffe_id || ' ' || instance FROM replacing WHERE instance IS NOT NULL)
  AND i.serial NOT IN (SELECT k.serial FROM revoked_certificate k CROSS JOIN revocation_operation x
    ON x.ref = k.operation WHERE x.done = 1)
)sql";

LiveLeaf ReadLeaf(Query& row) {
  LiveLeaf leaf;
  leaf.serial = HexLower(row.Bytes());
  leaf.spiffe_id = row.String();
  leaf.instance = row.String();
  leaf.node = row.String();
  leaf.method = static_cast<AuthMethod>(row.Int());
  leaf.caller = row.String();
  leaf.origin.kind = static_cast<OriginKind>(row.Int());
  leaf.origin.reference = row.String();
  leaf.authority_id = row.String();
  leaf.not_before = absl::FromUnixSeconds(row.Int());
  leaf.issued_at = row.Time();
  leaf.not_after = absl::FromUnixSeconds(row.Int());
  return leaf;
}

// `visited`: set once `visit` was called.
absl::Status VisitOn(const ConnectionOptions& options, const LeafQuery& query,
                     absl::FunctionRef<bool(const LiveLeaf&)> visit, bool& visited) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(options));
  Query rows(*database, kSql);
  rows.Bind(SecondsNotBefore(query.alive_at)).Bind(query.root_id);
  rows.Bind(MicrosNotBefore(query.issued_before)).Bind(query.except_spiffe_id);
  while (rows.Next()) {
    visited = true;
    if (!visit(ReadLeaf(rows))) break;
  }
  return rows.status();
}

}  // namespace

const char* UnreplacedLeavesSql() { return kSql; }

absl::Status VisitUnreplacedLeaves(const ConnectionOptions& reader, const LeafQuery& query,
                                   absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  ConnectionOptions options = reader;
  options.temp_files = true;
  bool visited = false;
  absl::Status status = VisitOn(options, query, visit, visited);
  if (status.ok() || visited) return status;
  // A container without a writable /tmp has no room for temporary files. Both sets are filled before the first leaf
  // comes out, so nothing is visited twice.
  options.temp_files = false;
  return VisitOn(options, query, visit, visited);
}

}  // namespace meshca::storage
