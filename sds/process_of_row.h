// Recognises processes of an earlier run of the server.
#ifndef MESHCA_SDS_PROCESS_OF_ROW_H_
#define MESHCA_SDS_PROCESS_OF_ROW_H_

#include "ca/base/process_name.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca::sds {

// The process that the instance of a stored row is, if it still runs and the kernel shows it to us. Not known in any
// other case: that a pid is gone says nothing, because the earlier run may have seen other pids (another PID
// namespace). A row does not say when its process began, but its instance is a hash of that (InstanceKey). Reads /proc.
ProcessName ProcessOfRow(const SubscriberRecord& row);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_PROCESS_OF_ROW_H_
