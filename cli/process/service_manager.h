// What a service and the service manager that started it (systemd) tell each other: the protocol of sd_notify(3) and
// sd_listen_fds(3), without its library.
#ifndef MESHCA_CLI_PROCESS_SERVICE_MANAGER_H_
#define MESHCA_CLI_PROCESS_SERVICE_MANAGER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/base/unique_fd.h"

namespace meshca::cli {

// A descriptor that an earlier process of this service stored.
struct StoredDescriptor {
  std::string name;  // as it was stored; "stored" where it had none
  UniqueFd fd;       // closed on exec
};

// What the manager hands to this process ($LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES): once, before any thread starts.
// The variables are removed, so that no child takes them for its own. Descriptors that are not open are left out.
std::vector<StoredDescriptor> TakeStoredDescriptors();

// Whether a manager listens to this process ($NOTIFY_SOCKET). Whether it stores descriptors for it
// (FileDescriptorStoreMax= of the unit) cannot be asked: systemd gives no answer.
bool HasServiceManager();

// Tells the manager `assignments`, one a line ("READY=1"), and hands it `fd` where that is not -1. Waits a few seconds
// at most for a manager that does not read. Unavailable: it could not be told. FailedPrecondition: there is none.
absl::Status NotifyManager(absl::string_view assignments, int fd = -1);

// The manager keeps a copy of `fd` for the next process of this service, under `name` ([a-z0-9-]), beside what it keeps
// already; the same open file is not kept twice. Errors as NotifyManager.
absl::Status StoreDescriptor(const std::string& name, int fd);
// It closes what it keeps under `name`.
absl::Status RemoveStoredDescriptor(const std::string& name);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_SERVICE_MANAGER_H_
