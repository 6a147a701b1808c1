// Subscriber instances as rows.
#ifndef MESHCA_STORAGE_SQLITE_SUBSCRIBER_ROWS_H_
#define MESHCA_STORAGE_SQLITE_SUBSCRIBER_ROWS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/subscribers/subscriber_store.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

absl::Status UpsertSubscriber(Database& database, const SubscriberRecord& record);
absl::StatusOr<std::vector<SubscriberRecord>> SelectSubscribers(Database& database);
// One that is not there is no error.
absl::Status DeleteSubscriberRow(Database& database, const std::string& instance);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SUBSCRIBER_ROWS_H_
