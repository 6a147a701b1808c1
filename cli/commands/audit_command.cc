// meshca audit list
#include <cstdio>
#include <string>
#include <vector>

#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

absl::Status ListAuditRecords(Session& session) {
  MESHCA_ASSIGN_OR_RETURN(RpcClient* const admin, session.Admin());
  ListPrinter printer(session.format, {"NUMBER", "TIME (UTC)", "ACTOR", "ACTION", "TARGET", "DETAIL"});
  v1::AuditRecord record;
  absl::Status status = admin->ServerStream("/meshca.admin.v1.Admin/ListAudit", v1::ListAuditRequest(), record,
                                            [&] {
                                              printer.Add(record, [&]() -> std::vector<std::string> {
                                                return {std::to_string(record.sequence()),
                                                        ShowTime(record, "time"),
                                                        record.actor(),
                                                        record.action(),
                                                        record.target(),
                                                        record.detail()};
                                              });
                                              return !OutputBroken();
                                            },
                                            {.timeout = absl::InfiniteDuration()});
  if (!status.ok()) printer.Abandon();
  return session.Told(status);
}

}  // namespace

void AddAudit(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "audit", "What was done to trust, by whom");
  AddVerb(*noun, session, "list", "The audit log, oldest first", ListAuditRecords);
}

}  // namespace meshca::cli
