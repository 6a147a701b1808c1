#include "cli/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <map>
#include <string>
#include <vector>

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
constexpr AddCommand kCommands[] = {AddServe, AddAgent,  AddStatus, AddCheck, AddRequest, AddRoot,       AddCert,
                                    AddToken, AddNode,   AddEntry,  AddJwt,   AddBundle,  AddSubscriber, AddWorkload,
                                    AddSds,   AddHealth, AddConfig, AddDb,    AddAudit,   AddCompletion, AddVersion};

void AddGlobalOptions(CLI::App& root, Session& session) {
  const std::string group = "Global options (anywhere on the line)";
  root.add_option("--config", session.config_file, "Configuration file, YAML (MESHCA_CONFIG)")
      ->type_name("FILE")
      ->group(group);
  root.add_option("--state-dir", session.state_dir, "Folder of the server's state, with its sockets (MESHCA_STATE_DIR)")
      ->type_name("DIR")
      ->group(group);
  root.add_option("--admin-socket", session.admin_socket, "The server's admin socket (MESHCA_ADMIN_SOCKET)")
      ->type_name("PATH")
      ->group(group);
  root.add_option("--api-socket", session.api_socket, "The server's socket for workloads (MESHCA_API_SOCKET)")
      ->type_name("PATH")
      ->group(group);
  root.add_flag("--agent", session.agent,
                "Talk to the agent of this host (meshca agent), not to the server; MESHCA_AGENT_... then name places")
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

// The deepest subcommand that was named: whose help to show beside a mistake.
const CLI::App* DeepestParsed(const CLI::App* app) {
  const auto subcommands = app->get_subcommands();
  return subcommands.empty() ? app : DeepestParsed(subcommands.front());
}

std::string FullName(const CLI::App* app) {
  return app->get_parent() == nullptr ? app->get_name()
                                      : absl::StrCat(FullName(app->get_parent()), " ", app->get_name());
}

// What CLI11 says, or, where a word is no command, which commands there are.
std::string Mistake(const CLI::App& app, const CLI::ParseError& error) {
  if (app.get_require_subcommand_min() == 0 || !app.get_subcommands().empty()) return error.what();
  for (const std::string& word : app.remaining()) {
    if (word.empty() || word.front() == '-') continue;
    std::string names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", command->get_name());
    }
    return absl::StrCat("there is no \"", word, "\"; there are ", names);
  }
  return error.what();
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
    PutRaw(stdout, DeepestParsed(root.get())->help());
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    const CLI::App* const app = DeepestParsed(root.get());
    const std::string name = FullName(app);
    Err("%s: %s\nTry `%s --help`.\n", name, Mistake(*app, error), name);
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
