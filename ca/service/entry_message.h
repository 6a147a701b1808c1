// Registration entries as messages of admin.proto, and back.
#ifndef MESHCA_CA_SERVICE_ENTRY_MESSAGE_H_
#define MESHCA_CA_SERVICE_ENTRY_MESSAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/identity/entry_store.h"
#include "ca/service/admin_context.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::admin_methods {

admin::v1::Entry EntryMessage(const RegistrationEntry& entry);

// Judges `message` and fills in what it leaves out: an id made from what it says, and who created it when.
// InvalidArgument names the field.
absl::StatusOr<RegistrationEntry> ReadEntryMessage(const AdminContext& context, const std::string& actor,
                                                   const admin::v1::Entry& message);

// Entries have changed: whoever keeps some in memory reads them again.
absl::Status TellOfEntries(const AdminContext& context);

}  // namespace meshca::admin_methods

#endif  // MESHCA_CA_SERVICE_ENTRY_MESSAGE_H_
