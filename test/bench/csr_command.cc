#include "test/bench/csr_command.h"

#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "test/bench/csr_measure.h"

namespace meshca::bench {
namespace {

struct Flags {
  CsrOptions options;
  size_t requests = 0;
  double rate = 0;
  bool json = false;
};

// What no single flag can say about itself.
void CheckTogether(const Flags& flags) {
  if (flags.options.token_file.empty() && flags.options.target.certificate_file.empty()) {
    throw CLI::ValidationError("--token-file, --cert", "the CA must know who asks: give one of them, or both");
  }
  if (!absl::StartsWith(flags.options.spiffe_id, "spiffe://")) {
    throw CLI::ValidationError("--id",
                               "\"" + flags.options.spiffe_id + "\" is no SPIFFE ID: spiffe://TRUST-DOMAIN/PATH");
  }
}

int RunCsr(const Flags& flags) {
  CsrOptions options = flags.options;
  if (flags.requests > 0) options.requests = flags.requests;
  if (flags.rate > 0) options.load.rate = flags.rate;
  options.key_type = KeyTypes().at(options.key_type_name);
  const auto report = MeasureCsr(
      std::move(options), [](absl::string_view line) { std::cerr << "meshca-bench csr: " << line << std::endl; });
  if (!report.ok()) {
    std::cerr << "meshca-bench csr: " << report.status().message() << std::endl;
    return 1;
  }
  if (flags.json) {
    std::cout << ToJson(*report).dump(1) << std::endl;
  } else {
    PrintForPeople(*report, std::cout);
  }
  const bool any =
      std::any_of(report->rounds.begin(), report->rounds.end(), [](const CsrRound& round) { return round.ok > 0; });
  if (any) return 0;
  std::cerr << "meshca-bench csr: not one certificate was issued" << std::endl;
  return 1;
}

void AddServer(CLI::App& command, CsrOptions& options) {
  command.add_option("--address", options.target.address, "HOST:PORT of the CSR service")->required();
  command.add_option("--root", options.target.root_file, "PEM of the CA's root: server and certificates lead there")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_option("--server-name", options.target.server_name, "TLS name to ask for and verify; HOST");
  command.add_option("--token-file", options.token_file, "Bearer token of the caller")->check(CLI::ExistingFile);
  CLI::Option* const cert =
      command.add_option("--cert", options.target.certificate_file, "PEM chain of the caller, leaf first")
          ->check(CLI::ExistingFile);
  CLI::Option* const key =
      command.add_option("--key", options.target.key_file, "PEM key of --cert")->check(CLI::ExistingFile);
  cert->needs(key);
  key->needs(cert);
  command.add_option("--id", options.spiffe_id, "SPIFFE ID to ask for: what the caller may have")->required();
  command.add_option("--server-pid", options.server_pid, "Process whose CPU time and memory count")
      ->check(CLI::PositiveNumber);
}

void AddLoad(CLI::App& command, Flags& flags) {
  CsrOptions& options = flags.options;
  std::vector<std::string> key_types;
  for (const auto& [name, type] : KeyTypes()) key_types.push_back(name);
  command.add_option("--key-type", options.key_type_name, "Of the requests' keys")
      ->check(CLI::IsMember(key_types))
      ->capture_default_str();
  command.add_option("--connections", options.load.connections, "TLS connections")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::Option* const in_flight =
      command.add_option("--in-flight", options.load.in_flight, "Requests open at any time: one out, the next in")
          ->check(CLI::PositiveNumber)
          ->capture_default_str();
  CLI::Option* const rate =
      command.add_option("--rate", flags.rate, "Requests that leave in a second, whether or not answers came")
          ->check(CLI::PositiveNumber);
  in_flight->excludes(rate);
  command
      .add_option("--open-max", options.load.open_max, "With --rate: what is due while so many are open is not sent")
      ->check(CLI::PositiveNumber)
      ->needs(rate)
      ->capture_default_str();
  command
      .add_option("--ahead", options.ahead,
                  "With --rate: makes the requests as it goes, so many ahead (20000, for rounds of more than 150000)")
      ->check(CLI::PositiveNumber)
      ->needs(rate);
  command.add_flag("--new-connection-each", options.load.new_connection_each,
                   "A connection and a handshake for every request");
  command
      .add_option_function<std::string>(
          "--session-resumption",
          [&options](const std::string& word) { options.target.resume_sessions = word == "on"; },
          "on: resume TLS sessions where the server can; off")
      ->check(CLI::IsMember({"on", "off"}));
}

void AddRounds(CLI::App& command, Flags& flags) {
  CsrOptions& options = flags.options;
  CLI::Option* const requests =
      command.add_option("--requests", flags.requests, "Requests of a round")->check(CLI::PositiveNumber);
  command
      .add_option_function<std::string>(
          "--duration",
          [&options](const std::string& given) {
            if (!absl::ParseDuration(given, &options.duration) || options.duration <= absl::ZeroDuration()) {
              throw CLI::ValidationError("--duration", "\"" + given + "\" is no duration: 500ms, 10s, 2m");
            }
          },
          "Length of a round, instead of --requests; 10s")
      ->type_name("DURATION")
      ->excludes(requests);
  command.add_option("--rounds", options.rounds, "Rounds")->check(CLI::PositiveNumber)->capture_default_str();
  command.add_option("--warm-up", options.warm_up, "Requests before the first round, not counted")
      ->capture_default_str();
  command.add_flag("--yardstick", options.yardstick, "Measure P-256 verify + sign around each round: the ratio's unit");
  command.add_option("--verify-one-in", options.load.keep_one_in, "Verify one answer in so many whole; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_flag("--json", flags.json, "Report as JSON");
}

}  // namespace

CLI::App* AddCsrCommand(CLI::App& tool, int& exit_code) {
  const auto flags = std::make_shared<Flags>();
  flags->options.load.keep_one_in = 100;
  CLI::App* const command =
      tool.add_subcommand("csr", "Certificate requests: how many a second a CA answers, how fast, at what cost");
  AddServer(*command, flags->options);
  AddLoad(*command, *flags);
  AddRounds(*command, *flags);
  command->callback([flags, &exit_code] {
    CheckTogether(*flags);
    exit_code = RunCsr(*flags);
  });
  return command;
}

}  // namespace meshca::bench
