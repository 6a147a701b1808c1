#include "test/bench/jwt_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/x509/signing_key.h"
#include "test/bench/arithmetic.h"
#include "test/bench/jwt_load.h"
#include "test/bench/process_meter.h"

namespace meshca::bench {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kMintFor = absl::Milliseconds(300);

struct Flags {
  JwtLoadOptions load;
  uint64_t calls = 5000;
  int rounds = 1;
  pid_t server_pid = 0;
  bool json = false;
};

// CPU time of one MintJwtSvid, here: without the call that asks for it.
absl::Duration MintTime() {
  const auto key = SoftwareKey::Generate(KeyType::kEcP256);
  MESHCA_CHECK(key.ok());
  JwtSvidClaims claims;
  claims.subject = SpiffeId::Parse("spiffe://cluster.local/ns/bench/sa/load").value();
  claims.audiences = {"bench"};
  claims.issued_at = absl::Now();
  claims.expires_at = claims.issued_at + kJwtSvidLifetimeMax;
  const absl::Time end = absl::Now() + kMintFor;
  const absl::Duration start = ThreadCpuTime();
  int minted = 0;
  while (absl::Now() < end) {
    for (int i = 0; i < 100; ++i, ++minted) {
      MESHCA_CHECK(MintJwtSvid(claims, **key, "a-thumbprint-of-forty-three-characters-base").ok());
    }
  }
  return (ThreadCpuTime() - start) / minted;
}

Json Mint() {
  const double before = absl::ToDoubleMicroseconds(P256Sign(kMintFor));
  const double mint = absl::ToDoubleMicroseconds(MintTime());
  const double sign = (before + absl::ToDoubleMicroseconds(P256Sign(kMintFor))) / 2;
  return {{"mint_us", mint}, {"sign_us", sign}, {"ratio", mint / sign}};
}

absl::StatusOr<Json> Round(JwtLoad& load, const Flags& flags, const ProcessMeter* meter) {
  absl::Duration before;
  if (meter != nullptr) {
    MESHCA_ASSIGN_OR_RETURN(before, meter->CpuTime());
  }
  MESHCA_ASSIGN_OR_RETURN(const JwtLoadResult result, load.Run(flags.calls, absl::Now() + absl::Minutes(2)));
  Json json = {{"tokens", result.tokens},
               {"seconds", absl::ToDoubleSeconds(result.wall)},
               {"latency_us",
                {{"p50", absl::ToDoubleMicroseconds(result.latency.Quantile(0.5))},
                 {"p99", absl::ToDoubleMicroseconds(result.latency.Quantile(0.99))}}},
               {"cpu_us", nullptr}};
  if (meter == nullptr) return json;
  MESHCA_ASSIGN_OR_RETURN(const absl::Duration after, meter->CpuTime());
  json["cpu_us"] = absl::ToDoubleMicroseconds(after - before) / static_cast<double>(result.tokens);
  return json;
}

absl::StatusOr<Json> Measure(const Flags& flags) {
  Json report = {{"mint", Json::array()}, {"rounds", Json::array()}};
  for (int i = 0; i < flags.rounds; ++i) report["mint"].push_back(Mint());
  if (flags.load.server.address.empty()) return report;
  std::optional<ProcessMeter> meter;
  if (flags.server_pid != 0) {
    MESHCA_ASSIGN_OR_RETURN(meter, ProcessMeter::Of(flags.server_pid));
  }
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<JwtLoad> load, JwtLoad::Create(flags.load));
  MESHCA_RETURN_IF_ERROR(load->Run(100, absl::Now() + absl::Minutes(1)).status());  // warms up
  for (int i = 0; i < flags.rounds; ++i) {
    MESHCA_ASSIGN_OR_RETURN(Json round, Round(*load, flags, meter ? &*meter : nullptr));
    report["rounds"].push_back(std::move(round));
  }
  return report;
}

void PrintForPeople(const Json& report) {
  for (const Json& mint : report.at("mint")) {
    std::cout << absl::StrFormat("minted   %.1f us, %.2f times a P-256 signature\n", mint.at("mint_us").get<double>(),
                                 mint.at("ratio").get<double>());
  }
  for (const Json& round : report.at("rounds")) {
    std::cout << absl::StrFormat("fetched  %d tokens, %.0f us each at the median", round.at("tokens").get<uint64_t>(),
                                 round.at("latency_us").at("p50").get<double>());
    if (const Json& cpu = round.at("cpu_us"); !cpu.is_null()) {
      std::cout << absl::StrFormat(", %.1f us of the server's CPU", cpu.get<double>());
    }
    std::cout << "\n";
  }
}

int RunJwt(const Flags& flags) {
  const absl::StatusOr<Json> report = Measure(flags);
  if (!report.ok()) {
    std::cerr << "meshca-bench jwt: " << report.status() << std::endl;
    return 1;
  }
  if (flags.json) {
    std::cout << report->dump(1) << std::endl;
  } else {
    PrintForPeople(*report);
  }
  return 0;
}

}  // namespace

CLI::App* AddJwtCommand(CLI::App& tool, int& exit_code) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* const command = tool.add_subcommand("jwt", "JWT-SVIDs: what one costs to mint, and to fetch from a socket");
  command->add_option("--address", flags->load.server.address, "unix:PATH of a Workload API; without: minting alone");
  command->add_option("--audience", flags->load.audience, "Audience asked for")->capture_default_str();
  command->add_flag("--new-each", flags->load.new_each, "An audience of its own for each call, so that each is minted");
  command->add_option("--in-flight", flags->load.in_flight, "Calls at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--calls", flags->calls, "Calls of a round")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--rounds", flags->rounds, "Rounds")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--server-pid", flags->server_pid, "Process whose CPU time counts")->check(CLI::PositiveNumber);
  command->add_flag("--json", flags->json, "Report as JSON");
  command->callback([flags, &exit_code] { exit_code = RunJwt(*flags); });
  return command;
}

}  // namespace meshca::bench
