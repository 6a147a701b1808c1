// meshca status
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/counted.h"
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

void PrintListeners(const v1::ServerStatus& status) {
  for (const v1::Listener& listener : status.listeners()) {
    const bool off = listener.address() == "off";
    Line(listener.name().c_str(), off ? "off: probes ask gRPC health (meshca health)" : listener.address());
  }
}

void PrintAgentText(const v1::ServerStatus& status) {
  const v1::AgentStatus& agent = status.agent();
  Line("node", agent.node().empty() ? "not joined yet"
                                    : absl::StrCat(agent.node(), "  its certificate until ",
                                                   ShowTime(agent, "certificate_expires"), " UTC"));
  Line("CA", agent.connected_to().empty()
                 ? absl::StrCat("NOT CONNECTED since ", ShowTime(agent, "since"), " UTC: ", agent.connection_error())
                 : absl::StrCat(agent.connected_to(), "  since ", ShowTime(agent, "since"), " UTC"));
  Line("servers", absl::StrJoin(agent.servers(), ", "));
  Line("trust", agent.trust_version() == 0
                    ? std::string("none yet")
                    : absl::StrCat("version ", agent.trust_version(), ", ", Counted(status.bundle_roots(), "root")));
  Line("entries", absl::StrCat(agent.entries(), " for this node, revision ", agent.entries_revision()));
  Line("certificates", absl::StrCat(agent.certificates(), " held for workloads"));
  Line("consumers", absl::StrCat(agent.consumers(), " known, ", agent.consumers_behind(), " behind"));
  PrintListeners(status);
  Line("state", status.state_dir());
}

void PrintStatusText(const v1::ServerStatus& status) {
  Line("meshca", absl::StrCat(status.version(), status.has_agent() ? " agent" : "",
                              status.ready() ? "  ready" : "  NOT READY: ", status.not_ready_reason(), "  since ",
                              ShowTime(status, "started_at"), " UTC"));
  Line("trust domain", status.trust_domain());
  if (status.has_agent()) return PrintAgentText(status);
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
  Line("bundle", absl::StrCat("version ", status.bundle_sequence(), ", ", Counted(status.bundle_roots(), "root")));
  Line("certificates",
       absl::StrCat(status.certificates_live(), " live, ", status.certificates_recorded(), " recorded"));
  Line("subscribers",
       absl::StrCat(status.subscribers_connected(), " connected, ", status.subscribers_known(), " known"));
  PrintListeners(status);
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
  AddVerb(root, session, "status", "The server at a glance, or with --agent the agent", RunStatus);
}

}  // namespace meshca::cli
