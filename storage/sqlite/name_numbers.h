// The numbers by which issuances refer to SPIFFE IDs, callers and origins.
#ifndef MESHCA_STORAGE_SQLITE_NAME_NUMBERS_H_
#define MESHCA_STORAGE_SQLITE_NAME_NUMBERS_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Looks numbers up, and gives one to a name that has none. Remembers those it has met, because most issuances are
// renewals of the same names.
class NameNumbers {
 public:
  explicit NameNumbers(Database& database) : database_(database) {}

  absl::StatusOr<int64_t> OfSpiffeId(const std::string& uri);
  absl::StatusOr<int64_t> OfCaller(AuthMethod method, const std::string& subject);
  absl::StatusOr<int64_t> OfOrigin(const Origin& origin);  // 0: unknown

  // Lets go of a memory that has grown too large.
  void Trim();
  void Forget();

 private:
  Database& database_;
  absl::flat_hash_map<std::string, int64_t> spiffe_ids_;
  absl::flat_hash_map<std::string, int64_t> callers_;  // by method and subject
  absl::flat_hash_map<std::string, int64_t> origins_;  // by kind and reference
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_NAME_NUMBERS_H_
