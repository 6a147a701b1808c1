// Registration entries as messages of admin.proto, and back.
#ifndef MESHCA_CA_SERVICE_ENTRY_MESSAGE_H_
#define MESHCA_CA_SERVICE_ENTRY_MESSAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/identity/entry_store.h"
#include "ca/service/admin_context.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::admin_methods {

admin::v1::Entry EntryMessage(const RegistrationEntry& entry);

// Reads `message`, has it judged and completed (CompleteEntry), and notes who created it when.
// InvalidArgument names the field.
absl::StatusOr<RegistrationEntry> ReadEntryMessage(const AdminContext& context, const std::string& actor,
                                                   const admin::v1::Entry& message);

// The most entries of one message of an apply. Each costs some hundred times the bytes that an empty one has, so they
// are counted before they are parsed.
inline constexpr int kMessageEntriesMax = 20'000;

// InvalidArgument: `bytes`, an ApplyEntriesRequest or an ApplyEntriesPart, holds more; what to do.
absl::Status CheckEntryCount(absl::string_view bytes);

// Entries have changed: whoever keeps some in memory reads them again.
absl::Status TellOfEntries(const AdminContext& context);

}  // namespace meshca::admin_methods

#endif  // MESHCA_CA_SERVICE_ENTRY_MESSAGE_H_
