// The process's log: one line an event, a message for people and named fields for programs, as text or JSON.
// Private keys, tokens and key-encryption keys are SecretBytes and do not convert to a field.
#ifndef MESHCA_CA_BASE_LOG_H_
#define MESHCA_CA_BASE_LOG_H_

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace meshca {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

using LogField = std::pair<absl::string_view, std::string>;

// Where and how lines go: stderr, from `level` up. Call before threads start; without it: text, kInfo.
void ConfigureLog(LogFormat format, LogLevel level);
// Changes the level alone; safe at any time (SIGHUP).
void SetLogLevel(LogLevel level);

// Writes one line. What printable.h does not let through is escaped in the message and in fields, so no input forges a
// line or moves the cursor of whoever reads it; other letters stay as they are.
// Thread-safe. Whoever reads stderr and has stopped is waited for once; lines are lost then, and counted:
// line_writer.h.
void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {});

inline void LogDebug(absl::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kDebug, m, f); }
inline void LogInfo(absl::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kInfo, m, f); }
inline void LogWarning(absl::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kWarning, m, f); }
inline void LogError(absl::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kError, m, f); }

}  // namespace meshca

#endif  // MESHCA_CA_BASE_LOG_H_
