#include "storage/sqlite/name_numbers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::storage {
namespace {

// Names whose numbers are remembered; about 200 bytes each. Beyond it the memory starts anew.
constexpr size_t kNamesMax = 8192;

}  // namespace

void NameNumbers::Trim() {
  if (spiffe_ids_.size() > kNamesMax) spiffe_ids_.clear();
  if (callers_.size() > kNamesMax) callers_.clear();
  if (origins_.size() > kNamesMax) origins_.clear();
}

void NameNumbers::Forget() {
  spiffe_ids_.clear();
  callers_.clear();
  origins_.clear();
}

absl::StatusOr<int64_t> NameNumbers::OfSpiffeId(const std::string& uri) {
  auto known = spiffe_ids_.find(uri);
  if (known != spiffe_ids_.end()) return known->second;
  int64_t ref = 0;
  {
    Query row(database_, "SELECT ref FROM spiffe_id WHERE uri = ?");
    row.Bind(uri);
    if (row.Next()) ref = row.Int();
    MESHCA_RETURN_IF_ERROR(row.status());
  }
  if (ref == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO spiffe_id(uri) VALUES(?)").Bind(uri).Run());
    ref = database_.LastInsertRow();
  }
  spiffe_ids_.emplace(uri, ref);
  return ref;
}

absl::StatusOr<int64_t> NameNumbers::OfCaller(AuthMethod method, const std::string& subject) {
  std::string name = absl::StrCat(static_cast<int>(method), " ", subject);
  auto known = callers_.find(name);
  if (known != callers_.end()) return known->second;
  int64_t ref = 0;
  {
    Query row(database_, "SELECT ref FROM caller WHERE subject = ? AND method = ?");
    row.Bind(subject).Bind(static_cast<int>(method));
    if (row.Next()) ref = row.Int();
    MESHCA_RETURN_IF_ERROR(row.status());
  }
  if (ref == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO caller(method, subject) VALUES(?, ?)")
                               .Bind(static_cast<int>(method))
                               .Bind(subject)
                               .Run());
    ref = database_.LastInsertRow();
  }
  callers_.emplace(std::move(name), ref);
  return ref;
}

absl::StatusOr<int64_t> NameNumbers::OfOrigin(const Origin& origin) {
  if (origin.kind == OriginKind::kUnknown) return 0;
  std::string name = absl::StrCat(static_cast<int>(origin.kind), " ", origin.reference);
  auto known = origins_.find(name);
  if (known != origins_.end()) return known->second;
  int64_t ref = 0;
  {
    Query row(database_, "SELECT ref FROM origin WHERE reference = ? AND kind = ?");
    row.Bind(origin.reference).Bind(static_cast<int>(origin.kind));
    if (row.Next()) ref = row.Int();
    MESHCA_RETURN_IF_ERROR(row.status());
  }
  if (ref == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO origin(kind, reference) VALUES(?, ?)")
                               .Bind(static_cast<int>(origin.kind))
                               .Bind(origin.reference)
                               .Run());
    ref = database_.LastInsertRow();
  }
  // A token or a pod gives one certificate or a few, and its renewals take the number from that one: remembered, a
  // thousand of them would only drive out the entries and issuers that come back.
  if (origin.kind != OriginKind::kJoinToken && origin.kind != OriginKind::kPod) origins_.emplace(std::move(name), ref);
  return ref;
}

}  // namespace meshca::storage
