// meshca status
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

void Line(const char* label, const std::string& value) { Out("%-14s%s\n", label, value); }

void PrintStatusText(const v1::ServerStatus& status) {
  Line("meshca", absl::StrCat(status.version(), status.ready() ? "  ready" : "  NOT READY: ", status.not_ready_reason(),
                              "  since ", ShowTime(status, "started_at"), " UTC"));
  Line("trust domain", status.trust_domain());
  Line("root",
       status.has_root() ? absl::StrCat(status.root().id(), "  until ", ShowTime(status.root(), "not_after")) : "none");
  Line("issuing", status.has_issuing() ? absl::StrCat(ShortenHex(status.issuing().id()), "  until ",
                                                      ShowTime(status.issuing(), "not_after"))
                                       : "none: nothing can be signed");
  if (!status.authority_error().empty()) Line("", absl::StrCat("ERROR: ", status.authority_error()));
  if (status.has_unrecorded_renewal()) {
    const v1::UnrecordedRenewal& renewal = status.unrecorded_renewal();
    std::string authorities;
    for (const std::string& id : renewal.authority_ids()) {
      absl::StrAppend(&authorities, authorities.empty() ? "" : ", ", ShortenHex(id));
    }
    Line("unrecorded", absl::StrCat("certificates without a record may renew until ", ShowTime(renewal, "until"),
                                    " UTC, if signed by ", authorities, " (", renewal.why(), ")"));
  }
  Line("bundle", absl::StrCat("version ", status.bundle_sequence(), ", ", status.bundle_roots(),
                              status.bundle_roots() == 1 ? " root" : " roots"));
  Line("certificates",
       absl::StrCat(status.certificates_live(), " live, ", status.certificates_recorded(), " recorded"));
  Line("subscribers",
       absl::StrCat(status.subscribers_connected(), " connected, ", status.subscribers_known(), " known"));
  for (const v1::Listener& listener : status.listeners()) {
    const bool off = listener.address() == "off";
    Line(listener.name().c_str(), off ? "off: probes ask gRPC health (meshca health)" : listener.address());
  }
  Line("state", status.state_dir());
  Line("database", status.store().error().empty() ? absl::StrCat(status.store().database_bytes() / 1024, " KiB, ",
                                                                 status.store().queued(), " writes waiting")
                                                  : absl::StrCat("ERROR: ", status.store().error()));
}

absl::Status RunStatus(Session& session) {
  v1::ServerStatus status;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetStatus", v1::GetStatusRequest(), status));
  session.Print(status, [&] { PrintStatusText(status); });
  return absl::OkStatus();
}

}  // namespace

void AddStatus(CLI::App& root, Session& session) {
  AddVerb(root, session, "status", "The server at a glance", RunStatus);
}

}  // namespace meshca::cli
