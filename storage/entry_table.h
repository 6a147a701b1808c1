// Registration entries as rows: those that count.
#ifndef MESHCA_STORAGE_ENTRY_TABLE_H_
#define MESHCA_STORAGE_ENTRY_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/identity/entry_store.h"
#include "storage/with_mac.h"

namespace meshca::storage {

struct LiveEntry {
  int64_t ref = 0;  // of the row
  WithMac<RegistrationEntry> entry;
};

// Rows that an apply brought and that do not count yet, or that one which counts took away, are in EntryApplyTable.
class EntryTable {
 public:
  virtual ~EntryTable() = default;

  virtual absl::StatusOr<std::optional<LiveEntry>> FindById(const std::string& id) = 0;
  // Any one that gives `spiffe_id`.
  virtual absl::StatusOr<std::optional<LiveEntry>> FindByIdentity(const SpiffeId& spiffe_id) = 0;
  // The id of the one that gives the SPIFFE ID of `entry` to its selectors.
  virtual absl::StatusOr<std::optional<std::string>> FindHolder(const RegistrationEntry& entry) = 0;
  // The oldest first, until `visit` returns an error, which is then the answer.
  virtual absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<RegistrationEntry>)> visit) = 0;

  // Both the id and the rights are free, which the caller looked up.
  virtual absl::Status Insert(const RegistrationEntry& entry, absl::string_view mac) = 0;
  // Writes `entry` in the place of the row `ref`.
  virtual absl::Status Replace(int64_t ref, const RegistrationEntry& entry, absl::string_view mac) = 0;
  // False: there is none.
  virtual absl::StatusOr<bool> Delete(absl::string_view id) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_TABLE_H_
