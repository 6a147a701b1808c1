// The database's upkeep and the audit log.
#include <sys/stat.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "ca/x509/encoding.h"

namespace meshca::admin_methods {

absl::StatusOr<v1::BackupDatabaseResponse> BackupDatabase(const AdminContext& context, const std::string& actor,
                                                          const v1::BackupDatabaseRequest& request) {
  if (!absl::StartsWith(request.path(), "/")) {
    return absl::InvalidArgumentError(absl::StrCat("path \"", request.path(), "\" is not absolute"));
  }
  AuditEntry audit;
  audit.time = context.clock.LikelyNow();
  audit.actor = actor;
  audit.action = "database.backup";
  audit.target = request.path();
  MESHCA_RETURN_IF_ERROR(context.maintenance.Backup(request.path(), audit));
  v1::BackupDatabaseResponse response;
  struct stat info = {};
  if (::stat(request.path().c_str(), &info) == 0) response.set_bytes(static_cast<uint64_t>(info.st_size));
  return response;
}

absl::StatusOr<v1::CheckDatabaseResponse> CheckDatabase(const AdminContext& context, const std::string& actor,
                                                        const v1::CheckDatabaseRequest& request) {
  MESHCA_RETURN_IF_ERROR(context.maintenance.Check());
  v1::CheckDatabaseResponse response;
  MESHCA_ASSIGN_OR_RETURN(const uint64_t count, context.issuances.CountIssuances());
  response.set_certificates_recorded(count);
  return response;
}

absl::Status ListAudit(const AdminContext& context, const std::string& actor, const v1::ListAuditRequest& request,
                       const Emit<v1::AuditRecord>& emit) {
  v1::AuditRecord message;
  return context.maintenance.ListAudit([&](const AuditEntry& entry) {
    message.Clear();
    message.set_sequence(entry.sequence);
    SetTime(entry.time, [&] { return message.mutable_time(); });
    message.set_actor(entry.actor);
    message.set_action(entry.action);
    message.set_target(entry.target);
    message.set_detail(entry.detail);
    message.set_hash(HexLower(entry.hash));
    return emit(message);
  });
}

}  // namespace meshca::admin_methods
