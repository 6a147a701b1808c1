// Database rows of the registration entries that are in force.
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

// EntryApplyTable has the rows of applies that have not taken effect yet, and the rows that an apply removed.
class EntryTable {
 public:
  virtual ~EntryTable() = default;

  virtual absl::StatusOr<std::optional<LiveEntry>> FindById(const std::string& id) = 0;
  // Any entry without nodes that gives `spiffe_id`.
  virtual absl::StatusOr<std::optional<LiveEntry>> FindByIdentity(const SpiffeId& spiffe_id) = 0;
  // The id of the entry with the same SPIFFE ID, selectors and nodes as `entry`; nullopt: there is none.
  virtual absl::StatusOr<std::optional<std::string>> FindHolder(const RegistrationEntry& entry) = 0;
  // Visits all, the oldest first, until `visit` returns an error, which is then returned.
  virtual absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<RegistrationEntry>)> visit) = 0;

  // The caller has looked up that neither the id nor the SPIFFE ID with these selectors and nodes is
  // taken.
  virtual absl::Status Insert(const RegistrationEntry& entry, const RowMacs& macs) = 0;
  // Overwrites the row `ref` with `entry`.
  virtual absl::Status Replace(int64_t ref, const RegistrationEntry& entry, const RowMacs& macs) = 0;
  // False: there is no entry with this id.
  virtual absl::StatusOr<bool> Delete(absl::string_view id) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_TABLE_H_
