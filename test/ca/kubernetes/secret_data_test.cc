#include "ca/kubernetes/secret_data.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/json/json_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::kubernetes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string SecretOf(const std::string& data) {
  return absl::StrCat(R"({"kind":"Secret","apiVersion":"v1","metadata":{"name":"cacerts"},"data":)", data, "}");
}

TEST(SecretData, IsWhatStandsUnderData) {
  const auto data = ReadSecretData(SecretOf(R"({"ca-key.pem":"a2V5","root-cert.pem":""})"));
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_THAT(*data, SizeIs(2));
  EXPECT_EQ(data->at("ca-key.pem").reveal(), "key");
  EXPECT_EQ(data->at("root-cert.pem").reveal(), "");
  EXPECT_THAT(*ReadSecretData(SecretOf("null")), SizeIs(0));
}

TEST(SecretData, RefusesWhatIsNoneAndQuotesNothingOfIt) {
  for (const char* json : {"a secret!", R"({"kind":"Pod","data":{"a":"a secret!"}})"}) {
    const auto data = ReadSecretData(json);
    ASSERT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(data.status().message()), Not(HasSubstr("a secret!")));
  }
  const auto broken = ReadSecretData(SecretOf(R"({"ca-key.pem":"a secret!"})"));
  EXPECT_EQ(broken.status().message(), "its key ca-key.pem is no base64");
}

// Half a file would be taken for a whole one.
TEST(SecretData, RefusesWhatIsTooLongToBeKept) {
  const std::string text = absl::Base64Escape(std::string(JsonStream::kTextBytesMax, 'x'));
  const auto data = ReadSecretData(SecretOf(absl::StrCat(R"({"ca-cert.pem":")", text, R"("})")));
  EXPECT_THAT(std::string(data.status().message()), HasSubstr("ca-cert.pem is longer"));
}

}  // namespace
}  // namespace meshca::kubernetes
