#include "ca/jwt/base64url.h"

#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

// Abseil's encoder has the one spelling that is taken.
std::string Encoded(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

TEST(Base64Url, DecodesWhatAnEncoderMakesOfAnyLength) {
  std::mt19937 random(20'261'130);  // NOLINT: the same each time
  for (size_t size = 0; size <= 100; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_EQ(Base64UrlDecode(Encoded(bytes)), bytes) << Encoded(bytes);
  }
}

// Every character at each place of a text of one to four.
TEST(Base64Url, TakesOneSpellingOfAValueAlone) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      for (const std::string& text :
           {std::string{static_cast<char>(a)}, std::string{static_cast<char>(a), static_cast<char>(b)},
            std::string{'Q', static_cast<char>(a), static_cast<char>(b)},
            std::string{static_cast<char>(a), 'Q', 'Q', static_cast<char>(b)},
            std::string{'Q', static_cast<char>(a), static_cast<char>(b), 'Q'}}) {
        std::string bytes;
        const bool is_one = absl::WebSafeBase64Unescape(text, &bytes) && Encoded(bytes) == text;
        ASSERT_EQ(Base64UrlDecode(text).has_value(), is_one) << absl::CHexEscape(text);
        if (is_one) {
          ASSERT_EQ(*Base64UrlDecode(text), bytes);
        }
      }
    }
  }
}

}  // namespace
}  // namespace meshca
