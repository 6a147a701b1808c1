#include "ca/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ca/base/printable.h"

namespace meshca {
namespace {

struct Sink {
  LogFormat format = LogFormat::kText;
  std::shared_ptr<spdlog::logger> logger;
  Sink() {
    logger = std::make_shared<spdlog::logger>("meshca", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::info);
  }
};

Sink& TheSink() {
  static Sink* sink = new Sink;  // Outlives every static: destructors may log.
  return *sink;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

absl::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "info";
}

std::string TextValue(absl::string_view value) {
  std::string escaped = PrintableQuoted(value);
  bool bare = !escaped.empty() && escaped == value && value.find_first_of(" =\"") == absl::string_view::npos;
  return bare ? escaped : absl::StrCat("\"", escaped, "\"");
}

}  // namespace

void ConfigureLog(LogFormat format, LogLevel level) {
  TheSink().format = format;
  TheSink().logger->set_level(ToSpdlog(level));
  TheSink().logger->flush_on(spdlog::level::debug);
}

void SetLogLevel(LogLevel level) { TheSink().logger->set_level(ToSpdlog(level)); }

void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields) {
  Sink& sink = TheSink();
  if (!sink.logger->should_log(ToSpdlog(level))) return;
  std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  std::string line;
  if (sink.format == LogFormat::kJson) {
    line =
        absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", LevelName(level), "\",\"message\":", JsonString(message));
    for (const auto& [name, value] : fields) absl::StrAppend(&line, ",", JsonString(name), ":", JsonString(value));
    line.push_back('}');
  } else {
    line = absl::StrCat(time, " ", LevelName(level), " ", PrintableQuoted(message));
    for (const auto& [name, value] : fields) absl::StrAppend(&line, " ", name, "=", TextValue(value));
  }
  sink.logger->log(ToSpdlog(level), "{}", line);
}

}  // namespace meshca
