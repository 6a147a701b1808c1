// What people type or paste, and what they read: addresses, tokens, choices, times.
#include <gmock/gmock.h>

#include <string>

#include "absl/time/civil_time.h"
#include "ca/base/bare_text.h"
#include "ca/base/exactly_one.h"
#include "ca/base/typed_address.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct AddressCase {
  const char* name;
  const char* typed;
  const char* scheme;
  const char* address;  // "": refused
  const char* words;
};

class TypedAddress : public testing::TestWithParam<AddressCase> {};

TEST_P(TypedAddress, IsTakenWithItsOwnSchemeAndRefusedInWordsOtherwise) {
  const AddressCase& c = GetParam();
  const absl::StatusOr<std::string> address = WithoutScheme(c.typed, c.scheme);
  if (*c.address != '\0') {
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(*address, c.address);
    return;
  }
  EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(address.status().message()),
              AllOf(HasSubstr(c.typed), HasSubstr(c.words), HasSubstr("write HOST:PORT, or ")));
}

INSTANTIATE_TEST_SUITE_P(
    Addresses, TypedAddress,
    testing::Values(AddressCase{"Bare", "ca.example:15012", "https", "ca.example:15012", ""},
                    AddressCase{"Url", "https://ca.example:15012", "https", "ca.example:15012", ""},
                    AddressCase{"UrlInCapitals", "HTTPS://[::1]:1", "https", "[::1]:1", ""},
                    AddressCase{"EmptyPath", "https://ca.example:15012/", "https", "ca.example:15012", ""},
                    AddressCase{"PlainUrlWhereThatIsSpoken", "http://127.0.0.1:1", "http", "127.0.0.1:1", ""},
                    AddressCase{"NoPortIsJudgedElsewhere", "https://ca.example", "https", "ca.example", ""},
                    AddressCase{"PlainHttp", "http://ca.example:15012", "https", "", "plain HTTP, and only TLS"},
                    AddressCase{"Https", "https://127.0.0.1:1", "http", "", "HTTPS, and only plain HTTP"},
                    AddressCase{"AnotherScheme", "grpc://ca.example:1", "https", "", "begins with grpc://"},
                    AddressCase{"Path", "https://ca.example:1/v1", "https", "", "has a path, \"/v1\""},
                    AddressCase{"TwoSlashes", "https://ca.example:1//", "https", "", "has a path"},
                    AddressCase{"PathWithoutScheme", "ca.example:1/v1", "https", "", "has a path"},
                    AddressCase{"Query", "https://ca.example:1?a", "https", "", "has a path, \"?a\""}),
    [](const auto& info) { return std::string(info.param.name); });

struct BareCase {
  const char* name;
  std::string text;
  const char* words;  // "": taken
};

class BareText : public testing::TestWithParam<BareCase> {};

TEST_P(BareText, NamesWhatEditorsAndShellsLeaveAroundATokenAndNeverTheToken) {
  const absl::Status checked = CheckBareText(GetParam().text);
  EXPECT_EQ(checked.ok(), *GetParam().words == '\0') << checked;
  EXPECT_THAT(std::string(checked.message()), AllOf(HasSubstr(GetParam().words), Not(HasSubstr("secret"))));
}

INSTANTIATE_TEST_SUITE_P(Texts, BareText,
                         testing::Values(BareCase{"Bare", "meshca-jt1.secret.aa", ""}, BareCase{"Empty", "", ""},
                                         BareCase{"QuoteInside", "sec\"ret", ""},
                                         BareCase{"DoubleQuotes", "\"secret\"", "quotation marks"},
                                         BareCase{"SingleQuotes", "'secret'", "quotation marks"},
                                         BareCase{"OneQuote", "secret'", "quotation marks"},
                                         BareCase{"Backticks", "`secret`", "quotation marks"},
                                         BareCase{"WordProcessor", "\xE2\x80\x9Csecret\xE2\x80\x9D", "quotation marks"},
                                         BareCase{"Utf8Mark", "\xEF\xBB\xBFsecret", "byte order mark"},
                                         BareCase{"Utf16LittleEndian", std::string("\xFF\xFEs\0e\0", 6), "UTF-16"},
                                         BareCase{"Utf16BigEndian", std::string("\xFE\xFF\0s\0e", 6), "UTF-16"},
                                         BareCase{"Utf16WithoutMark", std::string("s\0e\0", 4), "UTF-16"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ExactlyOne, IsTakenAndEveryOtherNumberNamesAllWays) {
  const auto choose = [](bool a, bool b, bool c) {
    return CheckExactlyOne({{"--a", a}, {"--b", b}, {"--c", c}}, "`list` shows them");
  };
  EXPECT_TRUE(choose(false, true, false).ok());
  EXPECT_EQ(choose(false, false, false).message(), "give exactly one of --a, --b and --c, not 0; `list` shows them");
  EXPECT_EQ(choose(true, false, true).message(), "give exactly one of --a, --b and --c, not 2; `list` shows them");
}

TEST(UtcText, IsTheSameEverywhere) {
  const absl::Time time = absl::FromCivil(absl::CivilSecond(2026, 1, 2, 3, 4, 5), absl::UTCTimeZone());
  EXPECT_EQ(Rfc3339Text(time + absl::Milliseconds(900)), "2026-01-02T03:04:05Z");
  EXPECT_EQ(UtcText(time), "2026-01-02 03:04:05 UTC");
  EXPECT_EQ(DateTimeText(time), "2026-01-02 03:04:05");
  EXPECT_EQ(DateText(time), "2026-01-02");
}

}  // namespace
}  // namespace meshca
