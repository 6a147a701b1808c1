#include "test/bench/sds_report.h"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace meshca::bench {
namespace {

using Json = nlohmann::json;

// Upper ends of the histogram's buckets; the last one has none.
constexpr std::array<int, 13> kBucketMs = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10'000};

double Ms(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

Json MaybeMs(const std::optional<absl::Duration>& duration) { return duration ? Json(Ms(*duration)) : Json(nullptr); }

Json MaybeUsPer(const std::optional<absl::Duration>& duration, int streams) {
  return duration ? Json(absl::ToDoubleMicroseconds(*duration) / streams) : Json(nullptr);
}

absl::Duration Quantile(const std::vector<absl::Duration>& sorted, double q) {
  if (sorted.empty()) return absl::ZeroDuration();
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(q * static_cast<double>(sorted.size())))];
}

Json Histogram(const std::vector<absl::Duration>& sorted) {
  Json buckets = Json::array();
  auto from = sorted.begin();
  for (const int ms : kBucketMs) {
    const auto to = std::upper_bound(from, sorted.end(), absl::Milliseconds(ms));
    if (to != from) buckets.push_back({{"up_to_ms", ms}, {"streams", to - from}});
    from = to;
  }
  if (from != sorted.end()) buckets.push_back({{"up_to_ms", nullptr}, {"streams", sorted.end() - from}});
  return buckets;
}

Json ToJson(const ChangeReport& change) {
  return {{"streams", change.streams},
          {"first_reception_to_last_ack_ms", Ms(change.spread)},
          {"publication_to_last_ack_ms", MaybeMs(change.published)},
          {"trigger_to_last_ack_ms", MaybeMs(change.trigger)},
          {"latency_from", change.published ? "publication" : "first reception"},
          {"latency_ms",
           {{"p50", Ms(Quantile(change.latencies, 0.5))},
            {"p90", Ms(Quantile(change.latencies, 0.9))},
            {"p99", Ms(Quantile(change.latencies, 0.99))},
            {"max", Ms(Quantile(change.latencies, 1))}}},
          {"histogram", Histogram(change.latencies)},
          {"server_cpu_us_per_stream", MaybeUsPer(change.server_cpu, change.streams)},
          {"fan_out_cpu_us_per_stream", MaybeUsPer(change.fan_out_cpu, change.streams)},
          {"client_cpu_us_per_stream", absl::ToDoubleMicroseconds(change.client_cpu) / change.streams},
          {"bytes_received", change.bytes}};
}

// The median of a number that every change has; null when one has none.
Json Median(const Json& changes, const char* name) {
  std::vector<double> values;
  for (const Json& change : changes) {
    if (change.at(name).is_null()) return nullptr;
    values.push_back(change.at(name));
  }
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

constexpr const char* kMedians[] = {"first_reception_to_last_ack_ms", "publication_to_last_ack_ms",
                                    "trigger_to_last_ack_ms",         "server_cpu_us_per_stream",
                                    "fan_out_cpu_us_per_stream",      "client_cpu_us_per_stream"};

Json MemoryToJson(const SdsReport& report) {
  if (!report.before || !report.after) return nullptr;
  const auto per_stream = [&](int64_t before, int64_t after) {
    return static_cast<double>(after - before) / 1024 / report.streams;
  };
  return {{"resident_kib_before", report.before->resident_bytes / 1024},
          {"resident_kib_after", report.after->resident_bytes / 1024},
          {"resident_kib_per_stream", per_stream(report.before->resident_bytes, report.after->resident_bytes)},
          {"private_kib_before", report.before->private_bytes / 1024},
          {"private_kib_after", report.after->private_bytes / 1024},
          {"private_kib_per_stream", per_stream(report.before->private_bytes, report.after->private_bytes)}};
}

// A stream and change.
Json OverallCpu(const SdsReport& report) {
  int acknowledgements = 0;
  for (const ChangeReport& change : report.changes) acknowledgements += change.streams;
  return acknowledgements == 0 ? Json(nullptr) : MaybeUsPer(report.overall_cpu, acknowledgements);
}

const char* ProtocolText(Discovery protocol) {
  switch (protocol) {
    case Discovery::kStateOfTheWorld: return "state of the world";
    case Discovery::kDelta: return "delta";
    case Discovery::kWorkloadX509: return "Workload API";
  }
  return "";
}

std::string Number(const Json& value, const char* unit) {
  return value.is_null() ? "unknown" : absl::StrFormat("%.2f %s", value.get<double>(), unit);
}

}  // namespace

Json ToJson(const SdsReport& report) {
  Json changes = Json::array();
  for (const ChangeReport& change : report.changes) changes.push_back(ToJson(change));
  Json medians = Json::object();
  for (const char* name : kMedians) medians[name] = Median(changes, name);
  return {{"address", report.address},
          {"protocol", ProtocolText(report.protocol)},
          {"streams", report.streams},
          {"connections", report.connections},
          {"resources", report.resources},
          {"ready_ms", Ms(report.ready)},
          {"server_memory", MemoryToJson(report)},
          {"changes", changes},
          {"median", medians},
          {"overall_server_cpu_us_per_stream", OverallCpu(report)},
          {"responses", report.responses},
          {"responses_checked_whole", report.checked_whole},
          {"ended_streams_by_code", report.ends}};
}

void PrintForPeople(const SdsReport& report, std::ostream& out) {
  const Json json = ToJson(report);
  const Json& median = json.at("median");
  out << absl::StrFormat("%d streams on %d connections to %s, %s, %s\n", report.streams, report.connections,
                         report.address, ProtocolText(report.protocol), absl::StrJoin(report.resources, " + "));
  out << absl::StrFormat("ready          %.0f ms\n", Ms(report.ready));
  if (const Json& memory = json.at("server_memory"); !memory.is_null()) {
    out << absl::StrFormat("server memory  %.2f KiB resident, %.2f KiB private a stream\n",
                           memory.at("resident_kib_per_stream").get<double>(),
                           memory.at("private_kib_per_stream").get<double>());
  }
  for (const ChangeReport& change : report.changes) {
    out << absl::StrFormat("change         %.1f ms from the first reception to the last acknowledgement; p99 %.1f ms\n",
                           Ms(change.spread), Ms(Quantile(change.latencies, 0.99)));
  }
  if (!report.changes.empty()) {
    out << "median         " << Number(median.at("first_reception_to_last_ack_ms"), "ms")
        << " from the first reception, " << Number(median.at("publication_to_last_ack_ms"), "ms")
        << " from the publication\n"
        << "server CPU     " << Number(median.at("server_cpu_us_per_stream"), "us") << " a stream and change, "
        << Number(median.at("fan_out_cpu_us_per_stream"), "us") << " of it from the first reception on; "
        << Number(json.at("overall_server_cpu_us_per_stream"), "us") << " with what was put off\n"
        << "client CPU     " << Number(median.at("client_cpu_us_per_stream"), "us") << " a stream and change\n";
  }
  for (const auto& [code, count] : report.ends) out << "ended          " << count << " streams: " << code << "\n";
}

}  // namespace meshca::bench
