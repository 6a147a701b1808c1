// Database rows of subscriber instances.
#ifndef MESHCA_STORAGE_SUBSCRIBER_TABLE_H_
#define MESHCA_STORAGE_SUBSCRIBER_TABLE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca::storage {

class SubscriberTable {
 public:
  virtual ~SubscriberTable() = default;

  // Inserts the row, or replaces the row of the same instance.
  virtual absl::Status Put(const SubscriberRecord& record) = 0;
  // All rows, sorted by instance.
  virtual absl::StatusOr<std::vector<SubscriberRecord>> ReadAll() = 0;
  virtual absl::Status Delete(const std::string& instance) = 0;  // Ok if there is none
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SUBSCRIBER_TABLE_H_
