#include "cli/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

constexpr char kUsage[] = "USAGE";

// In the order of the help text.
constexpr AddCommand kCommands[] = {AddServe,      AddAgent,    AddStatus,     AddCheck,  AddRequest, AddRoot,
                                    AddCert,       AddToken,    AddNode,       AddEntry,  AddJwt,     AddBundle,
                                    AddSubscriber, AddWorkload, AddSds,        AddHealth, AddConfig,  AddKek,
                                    AddDb,         AddAudit,    AddCompletion, AddVersion};

void AddGlobalOptions(CLI::App& root, Session& session) {
  const std::string group = "Global options (anywhere on the line)";
  root.add_option("--config", session.config_file,
                  "Configuration file, YAML (MESHCA_CONFIG; of the agent MESHCA_AGENT_CONFIG)")
      ->type_name("FILE")
      ->group(group);
  root.add_option("--state-dir", session.state_dir,
                  "Folder of its state, with its sockets (MESHCA_STATE_DIR; of the agent MESHCA_AGENT_STATE_DIR)")
      ->type_name("DIR")
      ->group(group);
  root.add_option("--admin-socket", session.admin_socket,
                  "Its admin socket (MESHCA_ADMIN_SOCKET; of the agent MESHCA_AGENT_ADMIN_SOCKET)")
      ->type_name("PATH")
      ->group(group);
  root.add_option("--api-socket", session.api_socket,
                  "Its socket for workloads (MESHCA_API_SOCKET; of the agent MESHCA_AGENT_API_SOCKET)")
      ->type_name("PATH")
      ->group(group);
  root.add_flag("--agent", session.agent, "Talk to the agent of this host (meshca agent), not to the server")
      ->group(group);
  static const std::map<std::string, OutputFormat> formats = {
      {"table", OutputFormat::kTable}, {"json", OutputFormat::kJson}, {"yaml", OutputFormat::kYaml}};
  // A function, because CLI11's own check would list the formats' numbers in its message.
  root.add_option_function<std::string>(
          "-o,--output",
          [&session](const std::string& text) {
            const auto found = formats.find(text);
            if (found == formats.end()) {
              throw CLI::ValidationError("--output", "\"" + text + "\" is none of table, json, yaml");
            }
            session.format = found->second;
          },
          "Form of the answer: table, json or yaml")
      ->type_name("FORMAT")
      ->group(group);
}

// Each command that is run says where the options are that its help does not list.
void PointToGlobalOptions(CLI::App& app) {
  const std::vector<CLI::App*> below = app.get_subcommands([](const CLI::App*) { return true; });
  for (CLI::App* command : below) PointToGlobalOptions(*command);
  if (!below.empty() || app.get_parent() == nullptr || !app.get_footer().empty()) return;
  app.footer("Global options, such as --agent and --state-dir, stand here too: meshca --help");
}

// The deepest subcommand that was named: to whose help a mistake points.
const CLI::App* DeepestParsed(const CLI::App* app) {
  const auto subcommands = app->get_subcommands();
  return subcommands.empty() ? app : DeepestParsed(subcommands.front());
}

std::string FullName(const CLI::App* app) {
  return app->get_parent() == nullptr ? app->get_name()
                                      : absl::StrCat(FullName(app->get_parent()), " ", app->get_name());
}

// What CLI11 says, or, where `app` wants a command and got none, which there are. A word that `app` does not know falls
// through to the tree's `root`.
std::string Mistake(const CLI::App& root, const CLI::App& app, const CLI::ParseError& error) {
  if (app.get_require_subcommand_min() == 0 || !app.get_subcommands().empty()) return error.what();
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", command->get_name());
  }
  const std::vector<std::string> unknown = root.remaining(/*recurse=*/true);
  if (unknown.empty()) return absl::StrCat("a command is missing; there are ", names);
  const bool option = absl::StartsWith(unknown.front(), "-");
  return absl::StrCat("there is no ", option ? "option " : "", "\"", unknown.front(), "\"",
                      option ? "" : absl::StrCat("; there are ", names));
}

// The sentence, with the reason behind its first line: it is for the search box and the bug report, and the lines below
// (those whom a step would break) are a list.
std::string ErrorText(const absl::Status& status) {
  std::vector<std::string> lines = absl::StrSplit(status.message(), '\n');
  const std::string reason = ReasonOf(status);
  if (!reason.empty() && reason != kUsage) absl::StrAppend(&lines[0], " (", CodeName(status.code()), ", ", reason, ")");
  return absl::StrJoin(lines, "\n");
}

int ExitCode(const absl::Status& status) {
  if (ReasonOf(status) == kUsage) return kExitUsage;
  return status.code() == absl::StatusCode::kFailedPrecondition ? kExitRefused : kExitFailed;
}

}  // namespace

std::unique_ptr<CLI::App> BuildTree(Session& session) {
  auto root = std::make_unique<CLI::App>("The certificate authority and identity service of a service mesh", "meshca");
  // Inherited by every subcommand: an option they do not know is looked up here, so globals stand anywhere.
  root->fallthrough();
  root->require_subcommand(1);
  root->set_help_flag("-h,--help", "This text; for a command: its options");
  AddGlobalOptions(*root, session);
  for (const AddCommand add : kCommands) add(*root, session);
  PointToGlobalOptions(*root);
  root->footer("meshca COMMAND --help says more. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused as unsafe.");
  return root;
}

namespace {

int ParseAndRun(int argc, const char* const* argv) {
  Session session;
  const std::unique_ptr<CLI::App> root = BuildTree(session);
  try {
    root->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    PutRaw(stdout, root->help());  // of the command that was named, by its full name
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    const CLI::App* const app = DeepestParsed(root.get());
    const std::string name = FullName(app);
    Err("%s: %s\nTry `%s --help`.\n", name, Mistake(*root, *app, error), name);
    return kExitUsage;
  }
  const absl::Status status = session.action();
  if (status.ok()) return session.exit_code;
  PutText(stderr, absl::StrCat("meshca: ", ErrorText(status), "\n"));
  return ExitCode(status);
}

}  // namespace

int RunCommandLine(int argc, const char* const* argv) {
  ReserveStandardDescriptors();
  const int code = ParseAndRun(argc, argv);
  const absl::Status written = FinishOutput();
  if (written.ok()) return code;
  PutText(stderr, absl::StrCat("meshca: ", ErrorText(written), "\n"));
  return code == kExitOk ? kExitFailed : code;
}

}  // namespace meshca::cli
