#include "ca/base/log.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { ConfigureLog(LogFormat::kText, LogLevel::kInfo); }
  template <typename F>
  std::string Capture(F&& write) {
    testing::internal::CaptureStderr();
    write();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, TextHasLevelMessageAndFields) {
  ConfigureLog(LogFormat::kText, LogLevel::kInfo);
  std::string line = Capture([] {
    LogInfo("certificate issued", {{"serial", "01ab"}, {"caller", "uid 7"}, {"x", ""}});
  });
  EXPECT_THAT(line, EndsWith(" info certificate issued serial=01ab caller=\"uid 7\" x=\"\"\n"));
}

TEST_F(LogTest, TextEscapesWhatItMustAndNoMore) {
  ConfigureLog(LogFormat::kText, LogLevel::kInfo);
  std::string line = Capture([] { LogInfo(R"(can't)", {{"a", R"(it's \' "so")"}}); });
  EXPECT_THAT(line, EndsWith(R"( info can't a="it's \\' \"so\"")"
                             "\n"));
}

TEST_F(LogTest, NoInputForgesALine) {
  for (LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    ConfigureLog(format, LogLevel::kInfo);
    std::string line = Capture([] {
      LogWarning("bad\r\n2026-01-01 error forged",
                 {{"name", "a\nb\x1b[31m\" level=error"}, {"nul", std::string(1, 0)}});
    });
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
    EXPECT_THAT(line, Not(HasSubstr("\x1b")));
    EXPECT_THAT(line, Not(HasSubstr("\r")));
    EXPECT_EQ(line.find('\0'), std::string::npos);
  }
}

TEST_F(LogTest, JsonIsOneObjectWithEscapedStrings) {
  ConfigureLog(LogFormat::kJson, LogLevel::kInfo);
  std::string line = Capture([] { LogError("say \"hi\"", {{"path", "C:\\x\t"}}); });
  EXPECT_THAT(line, testing::StartsWith("{\"time\":\""));
  EXPECT_THAT(line, EndsWith("\"level\":\"error\",\"message\":\"say \\\"hi\\\"\",\"path\":\"C:\\\\x\\t\"}\n"));
}

TEST_F(LogTest, LettersStayAndWhatATerminalObeysDoesNot) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    ConfigureLog(format, LogLevel::kInfo);
    const std::string line = Capture([] {
      LogInfo("née", {{"name", "日本 é"}, {"csi", "\xc2\x9b[2J"}, {"rlo", "\xe2\x80\xae"}, {"latin1", "caf\xe9"}});
    });
    const bool json = format == LogFormat::kJson;
    EXPECT_THAT(line, HasSubstr("née"));
    EXPECT_THAT(line, HasSubstr("日本 é"));
    EXPECT_THAT(line, HasSubstr(json ? "\\u009b[2J" : "\\u{9b}[2J"));
    EXPECT_THAT(line, HasSubstr(json ? "\\u202e" : "\\u{202e}"));
    EXPECT_THAT(line, HasSubstr(json ? "caf\\\\xe9" : "caf\\xe9"));
    EXPECT_THAT(line, Not(HasSubstr("\xc2\x9b")));
    EXPECT_THAT(line, Not(HasSubstr("\xe2\x80\xae")));
  }
}

TEST_F(LogTest, LevelFiltersAndMayChangeLater) {
  ConfigureLog(LogFormat::kText, LogLevel::kWarning);
  EXPECT_EQ(Capture([] { LogInfo("quiet"); }), "");
  SetLogLevel(LogLevel::kDebug);
  EXPECT_THAT(Capture([] { LogDebug("loud"); }), HasSubstr(" debug loud"));
}

}  // namespace
}  // namespace meshca
