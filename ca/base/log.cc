#include "ca/base/log.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ca/base/line_writer.h"
#include "ca/base/printable.h"

namespace meshca {
namespace {

// A server answers within seconds or its clients give up, so a log that nobody reads may take one of them, once.
constexpr absl::Duration kPatience = absl::Seconds(1);

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

std::string FormatLine(LogFormat format, LogLevel level, absl::string_view message,
                       std::initializer_list<LogField> fields) {
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  std::string line;
  if (format == LogFormat::kJson) {
    line =
        absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", LevelName(level), "\",\"message\":", JsonString(message));
    for (const auto& [name, value] : fields) absl::StrAppend(&line, ",", JsonString(name), ":", JsonString(value));
    line.push_back('}');
  } else {
    line = absl::StrCat(time, " ", LevelName(level), " ", PrintableQuoted(message));
    for (const auto& [name, value] : fields) absl::StrAppend(&line, " ", name, "=", TextValue(value));
  }
  return line;
}

struct Sink {
  std::atomic<LogFormat> format = LogFormat::kText;
  std::atomic<LogLevel> level = LogLevel::kInfo;
  LineWriter writer{STDERR_FILENO, kPatience, [this](uint64_t lines) {
                      return FormatLine(format, LogLevel::kWarning, "lines of the log are lost: nobody read it",
                                        {{"lines", absl::StrCat(lines)}});
                    }};
};

Sink& TheSink() {
  static Sink* sink = new Sink;  // Outlives every static: destructors may log.
  return *sink;
}

}  // namespace

void ConfigureLog(LogFormat format, LogLevel level) {
  TheSink().format = format;
  TheSink().level = level;
}

void SetLogLevel(LogLevel level) { TheSink().level = level; }

void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields) {
  Sink& sink = TheSink();
  if (level < sink.level) return;
  sink.writer.Write(FormatLine(sink.format, level, message, fields));
}

}  // namespace meshca
