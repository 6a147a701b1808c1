#include "test/bench/agents_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace meshca::bench {
namespace {

using Json = nlohmann::json;

Json PerUs(const std::optional<absl::Duration>& time, uint64_t count) {
  return time && count > 0 ? Json(absl::ToDoubleMicroseconds(*time) / static_cast<double>(count)) : Json(nullptr);
}

Json Seconds(const std::optional<absl::Duration>& time) {
  return time ? Json(absl::ToDoubleSeconds(*time)) : Json(nullptr);
}

Json Latencies(const LatencyHistogram& histogram) {
  if (histogram.count() == 0) return nullptr;
  return {{"p50", absl::ToDoubleMilliseconds(histogram.Quantile(0.5))},
          {"p99", absl::ToDoubleMilliseconds(histogram.Quantile(0.99))},
          {"max", absl::ToDoubleMilliseconds(histogram.max())}};
}

Json ToJson(const AgentsPhase& phase, size_t agents) {
  const AgentsCounts& counts = phase.counts;
  const double seconds = absl::ToDoubleSeconds(phase.wall);
  Json json = {{"seconds", seconds},
               {"server_cpu_seconds", Seconds(phase.server_cpu)},
               {"load_cpu_seconds", absl::ToDoubleSeconds(phase.load_cpu)},
               {"connections", counts.connections},
               {"certificates", counts.certificates},
               {"certificates_per_second", seconds > 0 ? static_cast<double>(counts.certificates) / seconds : 0},
               {"own_renewals", counts.own_renewals},
               {"reports", counts.reports},
               {"checked_whole", counts.checked_whole},
               {"cpu_us_per_agent", PerUs(phase.server_cpu, agents)},
               {"cpu_us_per_certificate", PerUs(phase.server_cpu, counts.certificates)},
               {"sign_ms", Latencies(counts.sign)},
               {"errors", counts.errors},
               {"first_error", counts.first_error}};
  if (!phase.arithmetic) return json;
  json["arithmetic_us"] = absl::ToDoubleMicroseconds(*phase.arithmetic);
  const Json& cpu_us = json["cpu_us_per_certificate"];
  json["ratio"] =
      cpu_us.is_null() ? Json(nullptr) : Json(cpu_us.get<double>() / absl::ToDoubleMicroseconds(*phase.arithmetic));
  return json;
}

Json Maybe(const std::optional<AgentsPhase>& phase, size_t agents) {
  return phase ? ToJson(*phase, agents) : Json(nullptr);
}

Json All(const std::vector<AgentsPhase>& phases, size_t agents) {
  Json all = Json::array();
  for (const AgentsPhase& phase : phases) all.push_back(ToJson(phase, agents));
  return all;
}

// KiB of an agent: of its bare connection, and of what it adds by attaching.
Json MemoryToJson(const AgentsReport& report) {
  if (!report.before || !report.connected || !report.attached) return nullptr;
  const auto per_agent = [&](const ProcessMemory& from, const ProcessMemory& to) {
    return static_cast<double>(to.private_bytes - from.private_bytes) / 1024 /
           static_cast<double>(report.agents - report.warm_up_agents);
  };
  return {{"private_kib_before", report.before->private_bytes / 1024},
          {"private_kib_connected", report.connected->private_bytes / 1024},
          {"private_kib_attached", report.attached->private_bytes / 1024},
          {"connection_kib_per_agent", per_agent(*report.before, *report.connected)},
          {"attached_kib_per_agent", per_agent(*report.connected, *report.attached)}};
}

Json IdleToJson(const AgentsReport& report) {
  if (!report.idle) return nullptr;
  Json json = ToJson(*report.idle, report.agents);
  json["cpu_ms_per_agent_hour"] = nullptr;
  if (report.idle->server_cpu) {
    json["cpu_ms_per_agent_hour"] = absl::ToDoubleMilliseconds(*report.idle->server_cpu) /
                                    static_cast<double>(report.agents) *
                                    absl::FDivDuration(absl::Hours(1), report.idle->wall);
  }
  return json;
}

void PrintPhase(const char* name, const Json& phase, std::ostream& out) {
  if (phase.is_null()) return;
  out << absl::StrFormat("%-14s %8.2f s", name, phase.at("seconds").get<double>());
  if (const Json& cpu = phase.at("server_cpu_seconds"); !cpu.is_null()) {
    out << absl::StrFormat(", %.2f s of the server's CPU", cpu.get<double>());
  }
  if (const auto certificates = phase.at("certificates").get<uint64_t>(); certificates > 0) {
    out << absl::StrFormat(", %d certificates", certificates);
  }
  if (phase.contains("ratio") && !phase.at("ratio").is_null()) {
    out << absl::StrFormat(", %.2f times the arithmetic each", phase.at("ratio").get<double>());
  }
  if (const auto& errors = phase.at("errors"); !errors.empty()) {
    out << ", tried again: " << errors.dump() << " " << phase.at("first_error");
  }
  out << "\n";
}

}  // namespace

Json ToJson(const AgentsReport& report) {
  return {{"agents", report.agents},
          {"consumers", report.consumers},
          {"held", report.held},
          {"join", Maybe(report.join, report.agents)},
          {"connect", Maybe(report.connect, report.agents)},
          {"attach", Maybe(report.attach, report.agents)},
          {"server_memory", MemoryToJson(report)},
          {"idle", IdleToJson(report)},
          {"sign", All(report.sign, report.agents)},
          {"change", Maybe(report.change, report.agents)},
          {"asleep_seconds", Seconds(report.asleep_until)},
          {"restarts", All(report.restarts, report.agents)}};
}

void PrintForPeople(const AgentsReport& report, std::ostream& out) {
  const Json json = ToJson(report);
  out << absl::StrFormat("%d agents of %d consumers, %d certificates held\n", report.agents, report.consumers,
                         report.held);
  for (const char* name : {"join", "connect", "attach", "idle", "change"}) PrintPhase(name, json.at(name), out);
  for (const Json& phase : json.at("sign")) PrintPhase("sign", phase, out);
  for (const Json& phase : json.at("restarts")) PrintPhase("restart", phase, out);
  if (const Json& memory = json.at("server_memory"); !memory.is_null()) {
    out << absl::StrFormat("server memory  %.2f KiB a connection, %.2f KiB more an agent that is attached\n",
                           memory.at("connection_kib_per_agent").get<double>(),
                           memory.at("attached_kib_per_agent").get<double>());
  }
  if (const Json& idle = json.at("idle"); !idle.is_null() && !idle.at("cpu_ms_per_agent_hour").is_null()) {
    out << absl::StrFormat("server CPU     %.2f ms an agent and hour when nothing changes\n",
                           idle.at("cpu_ms_per_agent_hour").get<double>());
  }
}

}  // namespace meshca::bench
