#include "ca/json/json_value.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;
using Kind = JsonValue::Kind;

TEST(JsonValue, HoldsWhatTheTextSays) {
  const JsonValue value =
      *ParseJson(R"( {"text": "a\"\u00e9\ud83d\ude00", "yes": true, "no": false, "none": null, "list": [1, [], {}]} )");
  EXPECT_EQ(value.FindText("text"), "a\"\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_TRUE(value.Find("yes")->boolean);
  EXPECT_EQ(value.Find("no")->kind, Kind::kBool);
  EXPECT_FALSE(value.Find("no")->boolean);
  EXPECT_EQ(value.Find("none")->kind, Kind::kNull);
  ASSERT_EQ(value.Find("list")->items.size(), 3u);
  EXPECT_EQ(value.Find("list")->items[1].kind, Kind::kArray);
  EXPECT_TRUE(value.Find("list")->items[2].is_object());
  EXPECT_EQ(value.Find("missing"), nullptr);
  EXPECT_EQ(value.FindText("yes"), "");
}

// The seconds of a token, and what else may stand there.
TEST(JsonValue, ReadsNumbersAsDoubles) {
  const std::pair<const char*, double> cases[] = {{"0", 0},
                                                  {"-1", -1},
                                                  {"1796030000", 1796030000},
                                                  {"1796030000.5", 1796030000.5},
                                                  {"1e3", 1e3},
                                                  {"2.5E-3", 2e-3 + 0.5e-3},
                                                  {"9007199254740993", 9007199254740993.0},
                                                  {"9223372036854775807", 9223372036854775807.0},
                                                  {"-9223372036854775808", -9223372036854775808.0},
                                                  {"9223372036854775808", 9223372036854775808.0},
                                                  {"18446744073709551616", 18446744073709551616.0}};
  for (const auto& [text, number] : cases) {
    const absl::StatusOr<JsonValue> value = ParseJson(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.status();
    EXPECT_EQ(value->kind, Kind::kNumber);
    EXPECT_DOUBLE_EQ(value->number, number) << text;
    EXPECT_DOUBLE_EQ(ParseJson(absl::StrCat("[", text, "]"))->items[0].number, number) << text;
  }
}

// Few names are compared with one another, many are sorted.
TEST(JsonValue, ANameStandsOnceHoweverManyThereAre) {
  for (int count = 1; count <= 40; ++count) {
    std::string members;
    for (int i = 0; i < count; ++i) absl::StrAppend(&members, "\"n", i, "\":{\"a\":", i, "},");
    const absl::StatusOr<JsonValue> good = ParseJson(absl::StrCat("{", members, "\"last\":0}"));
    ASSERT_TRUE(good.ok()) << count << ": " << good.status();
    EXPECT_EQ(good->members.size(), static_cast<size_t>(count) + 1);
    EXPECT_EQ(good->Find(absl::StrCat("n", count - 1))->Find("a")->number, count - 1);
    for (const int twice : {0, count / 2, count - 1}) {
      const absl::StatusOr<JsonValue> bad = ParseJson(absl::StrCat("{", members, "\"n", twice, "\":0}"));
      ASSERT_FALSE(bad.ok()) << count;
      EXPECT_EQ(bad.status().message(), absl::StrCat("the name \"n", twice, "\" twice in one object"));
    }
  }
}

TEST(JsonValue, OneValueAndWhiteSpace) {
  for (const char* text : {"\"a\"", "true", "null", "[]", "{}", " 7\n", "\t{ }\r\n"}) {
    EXPECT_TRUE(ParseJson(text).ok()) << text;
  }
}

struct RefusedCase {
  const char* name;
  std::string text;
  const char* said;
};

class RefusedJson : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedJson, SaysWhy) {
  const absl::Status refused = ParseJson(GetParam().text).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(GetParam().said));
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::string ManyMembers() {
  std::string text = "{";
  for (int i = 0; i < 1001; ++i) absl::StrAppend(&text, i == 0 ? "" : ",", "\"", i, "\":1");
  return text + "}";
}

INSTANTIATE_TEST_SUITE_P(
    Texts, RefusedJson,
    testing::Values(RefusedCase{"Nothing", "", "nothing"}, RefusedCase{"WhiteSpaceAlone", " \n", "nothing"},
                    RefusedCase{"NoJson", "<html>", "not JSON at byte 1"},
                    RefusedCase{"InTheMiddle", R"({"a":)", "middle of a value"},
                    RefusedCase{"TextWithoutEnd", R"("a)", "middle of a value"},
                    RefusedCase{"HalfALiteral", "tru", "middle of a value"},
                    RefusedCase{"AnotherValue", "{} {}", "something follows"},
                    RefusedCase{"AnotherNumber", "1 2", "something follows"},
                    RefusedCase{"WordsBehind", "{} x", "not JSON at byte 4"},
                    RefusedCase{"TrailingComma", "[1,]", "not JSON at byte 4"},
                    RefusedCase{"Comment", "/* */ {}", "not JSON at byte 1"},
                    RefusedCase{"LeadingZero", "[01]", "not JSON"}, RefusedCase{"NotANumber", "[NaN]", "not JSON"},
                    RefusedCase{"TooLargeANumber", "[1e400]", "number that is too large"},
                    RefusedCase{"ControlCharacter", "[\"a\nb\"]", "not JSON"},
                    RefusedCase{"NoUtf8", "[\"\xff\"]", "not JSON"},
                    RefusedCase{"OverlongUtf8", "[\"\xc0\xaf\"]", "not JSON"},
                    RefusedCase{"HalfASurrogate", R"(["\ud83d"])", "not JSON"},
                    RefusedCase{"ByteOrderMark", "\xef\xbb\xbf{}", "not JSON at byte 1"},
                    RefusedCase{"NameTwice", R"({"a":1,"b":2,"a":3})", "the name \"a\" twice"},
                    RefusedCase{"NameTwiceInside", R"([{"a":{"b":1,"b":1}}])", "the name \"b\" twice"},
                    RefusedCase{"NameTwiceByAnEscape", R"({"a":1,"\u0061":1})", "the name \"a\" twice"},
                    RefusedCase{"TooDeep", Repeated("[", 17) + Repeated("]", 17), "deeper than 16 levels"},
                    RefusedCase{"MuchTooDeep", Repeated("{\"a\":", 10'000), "deeper than 16 levels"},
                    RefusedCase{"TooManyMembers", ManyMembers(), "too many members"},
                    RefusedCase{"TooLongAText", absl::StrCat("\"", std::string(600'000, 'x'), "\""), "too long"},
                    RefusedCase{"TooLongAName", absl::StrCat("{\"", std::string(600'000, 'x'), "\":1}"), "too long"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JsonValue, AsDeepAsItMayBe) {
  EXPECT_TRUE(ParseJson(Repeated("[", 16) + Repeated("]", 16)).ok());
  EXPECT_TRUE(ParseJson("[[]]", 2).ok());
  EXPECT_FALSE(ParseJson("[[[]]]", 2).ok());
}

}  // namespace
}  // namespace meshca
