// Registration entries: which processes may hold which identity.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/entry_message.h"

namespace meshca::admin_methods {
namespace {

AuditEntry Audit(const AdminContext& context, const std::string& actor, absl::string_view action,
                 const RegistrationEntry& entry) {
  AuditEntry audit;
  audit.time = context.clock.LikelyNow();
  audit.actor = actor;
  audit.action = std::string(action);
  audit.target = entry.id;
  audit.detail =
      absl::StrCat(entry.spiffe_id.uri(), " for ", absl::StrJoin(entry.selectors, " and "),
                   entry.ServedByAgents() ? absl::StrCat(" on nodes ", absl::StrJoin(entry.nodes, ", ")) : "");
  return audit;
}

const RegistrationEntry* Find(const std::vector<RegistrationEntry>& entries, absl::string_view id) {
  for (const RegistrationEntry& entry : entries) {
    if (entry.id == id) return &entry;
  }
  return nullptr;
}

absl::Status NoSuchEntry(const std::string& id) {
  return absl::NotFoundError(absl::StrCat("no entry \"", id, "\"; `meshca entry list` shows their ids"));
}

}  // namespace

absl::StatusOr<v1::Entry> CreateEntry(const AdminContext& context, const std::string& actor,
                                      const v1::CreateEntryRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry entry, ReadEntryMessage(context, actor, request.entry()));
  MESHCA_RETURN_IF_ERROR(context.entries.CreateEntry(entry, Audit(context, actor, "entry.create", entry)));
  MESHCA_RETURN_IF_ERROR(TellOfEntries(context));
  return EntryMessage(entry);
}

absl::StatusOr<v1::ListEntriesResponse> ListEntries(const AdminContext& context, const std::string& actor,
                                                    const v1::ListEntriesRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  v1::ListEntriesResponse response;
  for (const RegistrationEntry& entry : entries) *response.add_entries() = EntryMessage(entry);
  return response;
}

absl::StatusOr<v1::Entry> GetEntry(const AdminContext& context, const std::string& actor,
                                   const v1::GetEntryRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  const RegistrationEntry* entry = Find(entries, request.id());
  if (entry == nullptr) return NoSuchEntry(request.id());
  return EntryMessage(*entry);
}

absl::StatusOr<v1::DeleteEntryResponse> DeleteEntry(const AdminContext& context, const std::string& actor,
                                                    const v1::DeleteEntryRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  const RegistrationEntry* entry = Find(entries, request.id());
  if (entry == nullptr) {
    // An earlier call may have deleted it and then failed to tell the others.
    MESHCA_RETURN_IF_ERROR(TellOfEntries(context));
    return NoSuchEntry(request.id());
  }
  MESHCA_RETURN_IF_ERROR(context.entries.DeleteEntry(entry->id, Audit(context, actor, "entry.delete", *entry)));
  MESHCA_RETURN_IF_ERROR(TellOfEntries(context));
  return v1::DeleteEntryResponse();
}

}  // namespace meshca::admin_methods
