// Database rows of join tokens.
#ifndef MESHCA_STORAGE_TOKEN_TABLE_H_
#define MESHCA_STORAGE_TOKEN_TABLE_H_

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/token_store.h"
#include "storage/with_mac.h"

namespace meshca::storage {

class TokenTable {
 public:
  virtual ~TokenTable() = default;

  // AlreadyExists: there is one with this id, or with this hash of its secret.
  virtual absl::Status Insert(const JoinToken& token, const RowMacs& macs) = 0;
  virtual absl::StatusOr<std::optional<WithMac<JoinToken>>> FindById(absl::string_view id) = 0;
  virtual absl::StatusOr<std::optional<WithMac<JoinToken>>> FindBySecret(absl::string_view secret_sha256) = 0;
  // Visits all, the oldest first, until `visit` returns an error, which is then returned.
  virtual absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<JoinToken>)> visit) = 0;
  // Updates used_key_sha256, used_at and the (first) MAC of the row with the token's id.
  virtual absl::Status WriteUse(const JoinToken& token, absl::string_view mac) = 0;
  // False: there is no token with this id.
  virtual absl::StatusOr<bool> Delete(absl::string_view id) = 0;
  // Deletes every token whose holder joins as `node`: its agent's, and those of workloads there.
  virtual absl::Status DeleteOfNode(absl::string_view node) = 0;
  virtual absl::Status DeleteAll() = 0;
  // Deletes at most `rows_max` tokens that expired before `expired_before`, those that expired first; returns how many.
  virtual absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TOKEN_TABLE_H_
