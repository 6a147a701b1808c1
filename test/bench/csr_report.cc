#include "test/bench/csr_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace meshca::bench {
namespace {

using Json = nlohmann::json;

constexpr int kBarColumns = 50;
constexpr double kBusy = 0.9;  // part of a core from which on the load itself may be what limits
constexpr double kMib = 1024 * 1024;

Json Maybe(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

std::optional<double> ServerMicroseconds(const CsrRound& round) {
  if (!round.server_cpu || round.ok == 0) return std::nullopt;
  return absl::ToDoubleMicroseconds(*round.server_cpu) / static_cast<double>(round.ok);
}

std::optional<double> Ratio(const CsrRound& round) {
  const auto microseconds = ServerMicroseconds(round);
  if (!microseconds || !round.arithmetic) return std::nullopt;
  return *microseconds / absl::ToDoubleMicroseconds(*round.arithmetic);
}

double PerSecond(const CsrRound& round) {
  const double seconds = absl::ToDoubleSeconds(round.wall);
  return seconds > 0 ? static_cast<double>(round.ok) / seconds : 0;
}

Json Quantiles(const LatencyHistogram& histogram) {
  if (histogram.count() == 0) return nullptr;
  const auto ms = [&](double q) { return absl::ToDoubleMilliseconds(histogram.Quantile(q)); };
  return {{"p50", ms(0.5)},
          {"p90", ms(0.9)},
          {"p99", ms(0.99)},
          {"p999", ms(0.999)},
          {"max", absl::ToDoubleMilliseconds(histogram.max())}};
}

Json ToJson(const CsrRound& round) {
  Json json = {{"requests", round.requests},
               {"ok", round.ok},
               {"not_sent", round.not_sent},
               {"not_made", round.not_made},
               {"verified", round.verified},
               {"errors", round.errors},
               {"seconds", absl::ToDoubleSeconds(round.wall)},
               {"per_second", PerSecond(round)},
               {"cpu_us", Maybe(ServerMicroseconds(round))},
               {"load_cpu_seconds", absl::ToDoubleSeconds(round.load_cpu)},
               {"ratio", Maybe(Ratio(round))},
               {"connections", round.connections},
               {"resumed", round.resumed},
               {"latency_ms", Quantiles(round.latency)},
               {"error_latency_ms", Quantiles(round.error_latency)}};
  json["cpu_seconds"] = round.server_cpu ? Json(absl::ToDoubleSeconds(*round.server_cpu)) : Json(nullptr);
  json["arithmetic_us"] = round.arithmetic ? Json(absl::ToDoubleMicroseconds(*round.arithmetic)) : Json(nullptr);
  return json;
}

LatencyHistogram AllRounds(const CsrReport& report) {
  LatencyHistogram all;
  for (const CsrRound& round : report.rounds) all.Merge(round.latency);
  return all;
}

Json Mib(const std::optional<int64_t>& bytes) {
  return bytes ? Json(static_cast<double>(*bytes) / kMib) : Json(nullptr);
}

std::string Number(const std::optional<double>& value, const char* format_without = "-") {
  return value ? absl::StrFormat("%.2f", *value) : std::string(format_without);
}

void PrintRound(size_t number, const CsrRound& round, std::ostream& out) {
  uint64_t errors = 0;
  for (const auto& [name, count] : round.errors) errors += count;
  const auto ms = [&](double q) {
    return round.ok == 0 ? std::string("-")
                         : absl::StrFormat("%.2f", absl::ToDoubleMilliseconds(round.latency.Quantile(q)));
  };
  out << absl::StrFormat("%5d %9d %9d %7d %9.0f %8s %6s %8s %8s %8s %8s %8s\n", number, round.requests, round.ok,
                         errors, PerSecond(round), Number(ServerMicroseconds(round)), Number(Ratio(round)), ms(0.5),
                         ms(0.9), ms(0.99), ms(0.999), ms(1));
}

void PrintErrors(const CsrReport& report, std::ostream& out) {
  std::map<std::string, uint64_t> errors;
  LatencyHistogram latency;
  uint64_t not_sent = 0;
  uint64_t not_made = 0;
  for (const CsrRound& round : report.rounds) {
    for (const auto& [name, count] : round.errors) errors[name] += count;
    latency.Merge(round.error_latency);
    not_sent += round.not_sent;
    not_made += round.not_made;
  }
  for (const auto& [name, count] : errors) {
    const auto message = report.error_messages.find(name);
    out << absl::StrFormat("error          %d x %s: %s\n", count, name,
                           message == report.error_messages.end() ? "" : message->second);
  }
  if (latency.count() > 0) {
    out << absl::StrFormat("               answered within p50 %.2f ms, p99 %.2f ms, max %.2f ms\n",
                           absl::ToDoubleMilliseconds(latency.Quantile(0.5)),
                           absl::ToDoubleMilliseconds(latency.Quantile(0.99)),
                           absl::ToDoubleMilliseconds(latency.max()));
  }
  if (not_sent > 0) {
    out << absl::StrFormat("not sent       %d requests: as many as --open-max allows waited for answers already\n",
                           not_sent);
  }
  if (not_made > 0) {
    out << absl::StrFormat(
        "not made       %d requests: this tool did not make them in time; the server is not to blame\n", not_made);
  }
}

void PrintBars(const LatencyHistogram& histogram, std::ostream& out) {
  if (histogram.count() == 0) return;
  out << absl::StrFormat("latency of %d certificates\n", histogram.count());
  const std::vector<LatencyBar> bars = histogram.Bars();
  uint64_t highest = 1;
  for (const LatencyBar& bar : bars) highest = std::max(highest, bar.count);
  for (const LatencyBar& bar : bars) {
    const auto columns = (bar.count * kBarColumns + highest - 1) / highest;
    out << absl::StrFormat("  up to %8g ms %9d |%s\n", absl::ToDoubleMilliseconds(bar.up_to), bar.count,
                           std::string(columns, '#'));
  }
}

void PrintLoad(const CsrReport& report, std::ostream& out) {
  for (const CsrRound& round : report.rounds) {
    const double part = absl::FDivDuration(round.load_cpu, round.wall);
    if (part < kBusy) continue;
    out << absl::StrFormat(
        "note           this tool used %.0f %% of a core: it may be what limits, not the server; share the load\n"
        "               between several meshca-bench at once\n",
        100 * part);
    return;
  }
}

}  // namespace

Json ToJson(const CsrReport& report) {
  Json rounds = Json::array();
  for (const CsrRound& round : report.rounds) rounds.push_back(ToJson(round));
  Json bars = Json::array();
  for (const LatencyBar& bar : AllRounds(report).Bars()) {
    bars.push_back({{"up_to_ms", absl::ToDoubleMilliseconds(bar.up_to)}, {"count", bar.count}});
  }
  return {{"what", report.what},
          {"rounds", rounds},
          {"error_messages", report.error_messages},
          {"memory_mib", Mib(report.memory_bytes)},
          {"memory_peak_mib", Mib(report.memory_peak_bytes)},
          {"histogram", bars}};
}

void PrintForPeople(const CsrReport& report, std::ostream& out) {
  out << report.what << "\n";
  out << absl::StrFormat("%5s %9s %9s %7s %9s %8s %6s %8s %8s %8s %8s %8s\n", "round", "requests", "ok", "errors",
                         "ok/s", "CPU us", "ratio", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms");
  for (size_t i = 0; i < report.rounds.size(); ++i) PrintRound(i + 1, report.rounds[i], out);
  PrintErrors(report, out);
  if (report.memory_bytes && report.memory_peak_bytes) {
    out << absl::StrFormat("server memory  %.1f MiB now, %.1f MiB at its peak\n",
                           static_cast<double>(*report.memory_bytes) / kMib,
                           static_cast<double>(*report.memory_peak_bytes) / kMib);
  }
  PrintLoad(report, out);
  PrintBars(AllRounds(report), out);
}

}  // namespace meshca::bench
