#include "test/bench/agents_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ca/base/file.h"

namespace meshca::bench {
namespace {

constexpr size_t kTokensBytesMax = 64 << 20;

struct Flags {
  AgentsOptions options;
  std::string tokens_file;
  bool json = false;
};

void AddDuration(CLI::App& command, const std::string& name, absl::Duration& value, const std::string& text) {
  command
      .add_option_function<std::string>(
          name,
          [name, &value](const std::string& given) {
            if (!absl::ParseDuration(given, &value) || value < absl::ZeroDuration()) {
              throw CLI::ValidationError(name, "\"" + given + "\" is no duration: 500ms, 60s, 2m");
            }
          },
          text)
      ->type_name("DURATION");
}

absl::Status ReadTokens(const std::string& path, std::vector<std::string>& tokens) {
  const absl::StatusOr<std::string> text = ReadFile(path, kTokensBytesMax, FileSecrecy::kPublic);
  if (!text.ok()) return text.status();
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipWhitespace())) {
    const absl::string_view token = absl::StripAsciiWhitespace(line);
    tokens.emplace_back(token.data(), token.size());
  }
  return absl::OkStatus();
}

int RunAgents(Flags& flags) {
  AgentsOptions options = flags.options;
  AgentsOutcome outcome;
  outcome.failure = ReadTokens(flags.tokens_file, options.load.tokens);
  if (outcome.failure.ok()) {
    outcome = MeasureAgents(
        options, [](absl::string_view phase) { std::cerr << "meshca-bench agents: " << phase << std::endl; });
  }
  if (flags.json) {
    std::cout << ToJson(outcome.report).dump(1) << std::endl;
  } else {
    PrintForPeople(outcome.report, std::cout);
  }
  if (outcome.failure.ok()) return 0;
  std::cerr << "meshca-bench agents: " << outcome.failure << std::endl;
  return 1;
}

}  // namespace

CLI::App* AddAgentsCommand(CLI::App& tool, int& exit_code) {
  const auto flags = std::make_shared<Flags>();
  AgentsOptions& options = flags->options;
  CLI::App* const command = tool.add_subcommand(
      "agents", "Agents of nodes: what they cost a CA, how it bears that all restart, how a new root reaches them");
  command->add_option("--address", options.load.server.address, "HOST:PORT of the CA's gRPC port")->required();
  command->add_option("--root", options.load.server.root_file, "PEM of the CA's root")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--server-name", options.load.server.server_name, "The CA's TLS name, where HOST is not it");
  command->add_option("--tokens", flags->tokens_file, "File of join tokens, one a line: as many agents join")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--consumers", options.load.consumers, "Consumers that each agent reports")
      ->capture_default_str();
  command->add_option("--at-once", options.load.at_once, "Connections that are being made at one time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--warm-up", options.warm_up, "Certificates that a few agents ask for before memory is looked at")
      ->check(CLI::NonNegativeNumber);
  AddDuration(*command, "--idle", options.idle, "A window in which nothing changes; 0s");
  command->add_option("--sign-rounds", options.sign_rounds, "Rounds of Sign calls as fast as answers come")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--sign-calls", options.sign_calls, "Sign calls of a round")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--sign-batch", options.sign_batch, "Certificates of a Sign call")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_option("--sign-in-flight", options.sign_in_flight, "Sign calls at a time, one an agent")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--trigger", options.trigger, "Shell command whose end is waited for, as `meshca root rotate`");
  CLI::Option* const asleep = command->add_option("--asleep", options.asleep, "Consumers that sleep when it begins");
  command
      ->add_option("--asleep-until", options.asleep_until,
                   "Shell command, run again and again: the sleepers wake up once it exits with 0")
      ->needs(asleep);
  command->add_option("--restarts", options.restarts, "So many times all agents restart at once")
      ->check(CLI::NonNegativeNumber);
  AddDuration(*command, "--wait", options.wait, "How long each phase may take; 2m");
  command->add_option("--server-pid", options.server_pid, "Process whose CPU time and memory count")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", flags->json, "Report as JSON");
  command->callback([flags, &exit_code] {
    if (flags->options.asleep > 0 && (flags->options.asleep_until.empty() || flags->options.trigger.empty())) {
      throw CLI::ValidationError("--asleep", "sleepers need --trigger, and --asleep-until to wake up");
    }
    exit_code = RunAgents(*flags);
  });
  return command;
}

}  // namespace meshca::bench
