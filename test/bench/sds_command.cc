#include "test/bench/sds_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace meshca::bench {
namespace {

struct Flags {
  SdsOptions options;
  bool delta = false;
  bool workload_api = false;
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

int RunSds(Flags& flags) {
  SdsOptions& options = flags.options;
  options.load.discovery = flags.workload_api ? Discovery::kWorkloadX509
                           : flags.delta      ? Discovery::kDelta
                                              : Discovery::kStateOfTheWorld;
  const SdsOutcome outcome = MeasureSds(options, [&](absl::string_view line) {
    if (!flags.json) std::cerr << line << std::endl;
  });
  if (flags.json) {
    std::cout << ToJson(outcome.report).dump(1) << std::endl;
  } else {
    PrintForPeople(outcome.report, std::cout);
  }
  if (outcome.failure.ok()) return 0;
  std::cerr << "meshca-bench sds: " << outcome.failure << std::endl;
  return 1;
}

}  // namespace

CLI::App* AddSdsCommand(CLI::App& tool, int& exit_code) {
  const auto flags = std::make_shared<Flags>();
  SdsOptions& options = flags->options;
  CLI::App* const command =
      tool.add_subcommand("sds", "SDS streams: how fast a change of the secrets reaches them all");
  command->add_option("--address", options.load.server.address, "unix:PATH, or HOST:PORT")->required();
  command->add_option("--root", options.load.server.root_file, "PEM of the server's root: speak TLS")
      ->check(CLI::ExistingFile);
  command->add_option("--cert", options.load.server.certificate_file, "PEM chain of the client, leaf first")
      ->check(CLI::ExistingFile);
  command->add_option("--key", options.load.server.key_file, "PEM key of --cert")->check(CLI::ExistingFile);
  command->add_option("--streams", options.load.streams, "Streams, each a node of its own")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--connections", options.load.connections, "Connections that carry them; as many as streams")
      ->check(CLI::PositiveNumber);
  command->add_option("--resource", options.load.resources, "A secret to subscribe to, each stream to all; ROOTCA")
      ->allow_extra_args(false);
  command->add_flag("--delta", flags->delta, "DeltaSecrets instead of StreamSecrets");
  command->add_flag("--workload-api", flags->workload_api, "FetchX509SVID of the SPIFFE Workload API instead of SDS")
      ->excludes("--delta")
      ->excludes("--resource");
  command->add_option("--node-id-prefix", options.load.node_id_prefix, "Node ids: this and the stream's number")
      ->capture_default_str();
  command->add_option("--changes", options.changes, "Changes to measure")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--trigger", options.triggers,
                   "Shell command that brings a change about; several take turns. Without: somebody else does")
      ->allow_extra_args(false);
  command->add_option("--published-at-command", options.published_at_command,
                      "Shell command that prints when the last change was published: Unix seconds or RFC 3339");
  AddDuration(*command, "--wait", options.wait, "How long streams may take to get ready, and a change to arrive; 60s");
  AddDuration(*command, "--hold", options.hold, "Keep the streams open so long after the last change; 0s");
  command->add_option("--server-pid", options.server_pid, "Process whose CPU time and memory count")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", flags->json, "Report as JSON");
  command->callback([flags, &exit_code] { exit_code = RunSds(*flags); });
  return command;
}

}  // namespace meshca::bench
