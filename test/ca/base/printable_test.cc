#include "ca/base/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace meshca {
namespace {

struct ShownCase {
  const char* name;
  std::string text;
  std::string people;  // Printable
  std::string json;    // JsonString, without its quotes
};

class Shown : public testing::TestWithParam<ShownCase> {};

TEST_P(Shown, OneJudgementForEveryWayOut) {
  EXPECT_EQ(Printable(GetParam().text), GetParam().people);
  EXPECT_EQ(JsonString(GetParam().text), "\"" + GetParam().json + "\"");
}

INSTANTIATE_TEST_SUITE_P(
    Characters, Shown,
    testing::Values(ShownCase{"Empty", "", "", ""},  //
                    ShownCase{"Ascii", "a b~", "a b~", "a b~"},
                    ShownCase{"Letters", "é ß 日本 🙂", "é ß 日本 🙂", "é ß 日本 🙂"},
                    ShownCase{"Nul", std::string("a\0b", 3), "a\\u{0}b", "a\\u0000b"},
                    ShownCase{"Escape", "\x1b[2J", "\\u{1b}[2J", "\\u001b[2J"},
                    ShownCase{"LineEnds", "a\r\n\tb", "a\\r\\n\\tb", "a\\r\\n\\tb"},
                    ShownCase{"Delete", "\x7f", "\\u{7f}", "\\u007f"},
                    ShownCase{"FirstOfC1", "\xc2\x80", "\\u{80}", "\\u0080"},
                    ShownCase{"ControlSequenceIntroducer", "\xc2\x9b[2J", "\\u{9b}[2J", "\\u009b[2J"},
                    ShownCase{"LastOfC1", "\xc2\x9f", "\\u{9f}", "\\u009f"},
                    ShownCase{"AfterC1", "\xc2\xa0", "\xc2\xa0", "\xc2\xa0"},
                    ShownCase{"ArabicLetterMark", "\xd8\x9c", "\\u{61c}", "\\u061c"},
                    ShownCase{"ZeroWidthJoiner", "\xe2\x80\x8d", "\\u{200d}", "\\u200d"},
                    ShownCase{"LeftToRightMark", "\xe2\x80\x8e", "\\u{200e}", "\\u200e"},
                    ShownCase{"RightToLeftMark", "\xe2\x80\x8f", "\\u{200f}", "\\u200f"},
                    ShownCase{"LineSeparator", "\xe2\x80\xa8", "\\u{2028}", "\\u2028"},
                    ShownCase{"RightToLeftOverride",
                              "a\xe2\x80\xae"
                              "b",
                              "a\\u{202e}b", "a\\u202eb"},
                    ShownCase{"RightToLeftIsolate", "\xe2\x81\xa7", "\\u{2067}", "\\u2067"},
                    ShownCase{"PopIsolate", "\xe2\x81\xa9", "\\u{2069}", "\\u2069"}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    BytesThatAreNoUtf8, Shown,
    testing::Values(ShownCase{"Latin1", "caf\xe9", "caf\\xe9", "caf\\\\xe9"},
                    ShownCase{"BareContinuation", "\x9b[2J", "\\x9b[2J", "\\\\x9b[2J"},
                    ShownCase{"CutShort", "a\xe2\x80", "a\\xe2\\x80", "a\\\\xe2\\\\x80"},
                    ShownCase{"CutShortBeforeText", "\xe2\x80z", "\\xe2\\x80z", "\\\\xe2\\\\x80z"},
                    ShownCase{"Overlong2", "\xc0\x9b", "\\xc0\\x9b", "\\\\xc0\\\\x9b"},
                    ShownCase{"Overlong3", "\xe0\x82\x9b", "\\xe0\\x82\\x9b", "\\\\xe0\\\\x82\\\\x9b"},
                    ShownCase{"Overlong4", "\xf0\x80\x82\x9b", "\\xf0\\x80\\x82\\x9b", "\\\\xf0\\\\x80\\\\x82\\\\x9b"},
                    ShownCase{"Surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"},
                    ShownCase{"AboveUnicode", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80",
                              "\\\\xf4\\\\x90\\\\x80\\\\x80"},
                    ShownCase{"NoLead", "\xff", "\\xff", "\\\\xff"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(MayBeShown, NeitherControlsNorDirectionsNorTheWidthlessAmongAllCharacters) {
  int refused = 0;
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    const bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029;
    const bool direction =
        c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f);
    const bool no_width = c == 0xad || (c >= 0x200b && c <= 0x200d) || (c >= 0x2060 && c <= 0x2065) || c == 0xfeff;
    EXPECT_EQ(MayBeShown(c), !control && !direction && !no_width) << std::hex << static_cast<uint32_t>(c);
    refused += MayBeShown(c) ? 0 : 1;
  }
  EXPECT_EQ(refused, 32 + 33 + 2 + 1 + 2 + 5 + 10 + 1 + 3 + 6 + 1);
}

TEST(PrintableLines, NewlinesAloneStay) { EXPECT_EQ(PrintableLines("a\n\rb\xc2\x9b\n"), "a\n\\rb\\u{9b}\n"); }

TEST(PrintableQuoted, NothingEndsTheQuotes) { EXPECT_EQ(PrintableQuoted("a\"b\\c é"), "a\\\"b\\\\c é"); }

TEST(JsonString, QuotesAndBackslashesAreEscaped) { EXPECT_EQ(JsonString("a\"b\\"), "\"a\\\"b\\\\\""); }

}  // namespace
}  // namespace meshca
