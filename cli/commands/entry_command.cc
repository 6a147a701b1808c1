// meshca entry create|apply|list|show|delete
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/durations.h"
#include "cli/commands/entry_apply_command.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct CreateEntryOptions {
  std::string spiffe_id;
  std::vector<std::string> selectors;
  std::vector<std::string> dns_names;
  std::string ttl;
  std::string id;
  std::vector<std::string> nodes;
  std::string hint;
  std::string jwt_ttl;
};

std::string Seconds(const google::protobuf::Duration& duration) {
  return duration.seconds() == 0 ? "-" : absl::StrCat(duration.seconds(), "s");
}

std::string ServedBy(const v1::Entry& entry) {
  return entry.nodes().empty() ? "this host" : absl::StrCat("agents of ", absl::StrJoin(entry.nodes(), ", "));
}

void PrintEntryText(const v1::Entry& entry) {
  Out("id          %s\nspiffe id   %s\nselectors   %s\nserved by   %s\n", entry.id(), entry.spiffe_id(),
      absl::StrJoin(entry.selectors(), " and "), ServedBy(entry));
  Out("ttl         %s\njwt ttl     %s\ndns names   %s\nhint        %s\n", Seconds(entry.ttl()),
      Seconds(entry.jwt_ttl()), entry.dns_names().empty() ? "-" : absl::StrJoin(entry.dns_names(), ", "),
      entry.hint().empty() ? "-" : entry.hint());
  Out("created     %s by %s\n", ShowTime(entry, "created_at"), entry.created_by());
}

void BindCreateEntry(CLI::App& app, CreateEntryOptions& options) {
  app.add_option("SPIFFE_ID", options.spiffe_id, "The identity that fitting processes may hold")->required();
  app.add_option("--selector", options.selectors,
                 "unix:uid:1000, unix:user:web, unix:gid:1000, unix:group:web, unix:path:/usr/bin/envoy, "
                 "unix:sha256:HEX or systemd:unit:web.service; several must all fit")
      ->required()
      ->type_name("SELECTOR")
      ->allow_extra_args(false);
  app.add_option("--dns", options.dns_names, "DNS name its certificates carry too; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_option("--ttl", options.ttl, "Longest lifetime of its certificates (default: the server's)")
      ->type_name("DURATION");
  app.add_option(
         "--node", options.nodes,
         "Served by the agents of nodes that fit, such as 'web-*', and by nobody else; may be repeated (default: "
         "by the CA's own socket)")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  app.add_option("--hint", options.hint, "Tells Workload API clients with several identities which this one is")
      ->type_name("TEXT");
  app.add_option("--jwt-ttl", options.jwt_ttl, "Lifetime of its JWT-SVIDs, at most 5m (default: 5m)")
      ->type_name("DURATION");
  app.add_option("--id", options.id, "Id of the entry (default: made from what it says)")->type_name("ID");
}

absl::Status CreateEntry(Session& session, CreateEntryOptions& options) {
  v1::CreateEntryRequest request;
  v1::Entry& wanted = *request.mutable_entry();
  wanted.set_id(options.id);
  wanted.set_spiffe_id(options.spiffe_id);
  for (const std::string& selector : options.selectors) wanted.add_selectors(selector);
  for (const std::string& name : options.dns_names) wanted.add_dns_names(name);
  if (!options.ttl.empty()) MESHCA_RETURN_IF_ERROR(ReadDuration("--ttl", options.ttl, *wanted.mutable_ttl()));
  for (const std::string& glob : options.nodes) wanted.add_nodes(glob);
  wanted.set_hint(options.hint);
  if (!options.jwt_ttl.empty()) {
    MESHCA_RETURN_IF_ERROR(ReadDuration("--jwt-ttl", options.jwt_ttl, *wanted.mutable_jwt_ttl()));
  }
  v1::Entry entry;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("CreateEntry", request, entry));
  session.Print(entry, [&] { Out("%s\n", entry.id()); });
  // A path or a digest says which program a process runs, and whoever may run it can connect first and become it then
  // (ca/authn).
  if (const std::string warning = WarningOfProgramAlone(entry); !warning.empty()) Err("%s\n", warning);
  return absl::OkStatus();
}

absl::Status ListEntries(Session& session) {
  v1::ListEntriesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListEntries", v1::ListEntriesRequest(), response));
  PrintList(session, {"ID", "SPIFFE ID", "SELECTORS", "SERVED BY", "TTL"}, response.entries(),
            [](const v1::Entry& entry) -> std::vector<std::string> {
              return {entry.id(), entry.spiffe_id(), absl::StrJoin(entry.selectors(), " "), ServedBy(entry),
                      Seconds(entry.ttl())};
            });
  return absl::OkStatus();
}

absl::Status ShowEntry(Session& session, const std::string& id) {
  v1::GetEntryRequest request;
  request.set_id(id);
  v1::Entry entry;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetEntry", request, entry));
  session.Print(entry, [&] { PrintEntryText(entry); });
  return absl::OkStatus();
}

absl::Status DeleteEntry(Session& session, const std::string& id) {
  v1::DeleteEntryRequest request;
  request.set_id(id);
  v1::DeleteEntryResponse response;
  return session.CallAdmin("DeleteEntry", request, response);
}

}  // namespace

void AddEntry(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "entry", "Registration entries: which processes may hold which identity");
  AddVerb<CreateEntryOptions>(*noun, session, "create", "Let the processes that fit hold an identity", BindCreateEntry,
                              CreateEntry);
  AddVerb<ApplyOptions>(*noun, session, "apply", "Make the entries of files exist, all at once or none", BindApply,
                        ApplyEntryFiles);
  AddVerb(*noun, session, "list", "All entries", ListEntries);
  const IdArgument id = {"ID", "Id of the entry, as `meshca entry list` shows it"};
  AddIdVerb(*noun, session, "show", "One entry", id, ShowEntry);
  AddIdVerb(*noun, session, "delete",
            "Take an entry away: its certificates are renewed no more, and stay good until they end", id, DeleteEntry);
}

}  // namespace meshca::cli
