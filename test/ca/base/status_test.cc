#include "ca/base/status.h"

#include <cerrno>
#include <string>

#include "ca/base/check.h"
#include "ca/base/entropy.h"
#include "ca/base/openssl_ptr.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <openssl/err.h>

namespace meshca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) return absl::InvalidArgumentError("odd");
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  MESHCA_ASSIGN_OR_RETURN(int half, Half(number));
  MESHCA_ASSIGN_OR_RETURN(int quarter, Half(half));
  MESHCA_RETURN_IF_ERROR(quarter > 100 ? absl::OutOfRangeError("large") : absl::OkStatus());
  return quarter;
}

TEST(StatusMacros, PassTheValueOrTheError) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(3).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_EQ(Quarter(4000).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(Annotate, PutsTheNounInFrontAndKeepsCodeAndReason) {
  absl::Status status = WithReason(absl::NotFoundError("no such row"), "ROW_MISSING");
  absl::Status annotated = Annotate(Annotate(status, "table"), "store");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(annotated.message(), "store: table: no such row");
  EXPECT_EQ(ReasonOf(annotated), "ROW_MISSING");
}

TEST(Annotate, LeavesOkAlone) {
  EXPECT_TRUE(Annotate(absl::OkStatus(), "noun").ok());
  EXPECT_TRUE(WithReason(absl::OkStatus(), "REASON").ok());
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
}

TEST(WithReason, ReplacesAnEarlierReason) {
  EXPECT_EQ(ReasonOf(WithReason(WithReason(absl::InternalError("x"), "FIRST"), "SECOND")), "SECOND");
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), "");
}

struct ErrnoCase {
  const char* name;
  int error;
  absl::StatusCode code;
};

class ErrnoStatusTest : public testing::TestWithParam<ErrnoCase> {};

TEST_P(ErrnoStatusTest, GivesTheCodeThatFits) {
  absl::Status status = ErrnoStatus(GetParam().error, "open /x");
  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_THAT(std::string(status.message()), HasSubstr("open /x: "));
}

INSTANTIATE_TEST_SUITE_P(Errno, ErrnoStatusTest,
                         testing::Values(ErrnoCase{"DiskFull", ENOSPC, absl::StatusCode::kUnavailable},
                                         ErrnoCase{"Quota", EDQUOT, absl::StatusCode::kUnavailable},
                                         ErrnoCase{"IoError", EIO, absl::StatusCode::kUnavailable},
                                         ErrnoCase{"ReadOnly", EROFS, absl::StatusCode::kUnavailable},
                                         ErrnoCase{"Missing", ENOENT, absl::StatusCode::kNotFound},
                                         ErrnoCase{"Denied", EACCES, absl::StatusCode::kPermissionDenied},
                                         ErrnoCase{"Exists", EEXIST, absl::StatusCode::kAlreadyExists},
                                         ErrnoCase{"Other", EBADF, absl::StatusCode::kInternal}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CodeName, SpellsGrpcNames) {
  EXPECT_EQ(CodeName(absl::StatusCode::kOk), "Ok");
  EXPECT_EQ(CodeName(absl::StatusCode::kDataLoss), "DataLoss");
  EXPECT_EQ(CodeName(static_cast<absl::StatusCode>(99)), "Unknown");
}

TEST(OpenSslError, EmptiesTheQueueIntoOneStatus) {
  ERR_raise(ERR_LIB_X509, X509_R_UNSUPPORTED_ALGORITHM);
  ERR_raise(ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH);
  absl::Status status = OpenSslError("X509_sign");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("X509_sign: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("; "));
  EXPECT_EQ(ERR_peek_error(), 0u);
  EXPECT_EQ(OpenSslError("later").message(), "later");
}

TEST(CheckDeathTest, NamesTheBeliefAndAborts) {
  int two = 2;
  EXPECT_DEATH(MESHCA_CHECK(two == 3), "check failed: two == 3");
  MESHCA_CHECK(two == 2);
}

TEST(UniformDuration, StaysWithinItsBounds) {
  for (int i = 0; i < 1000; ++i) {
    absl::Duration drawn = UniformDuration(SystemEntropy(), absl::Seconds(2), absl::Seconds(3));
    EXPECT_GE(drawn, absl::Seconds(2));
    EXPECT_LT(drawn, absl::Seconds(3));
  }
}

}  // namespace
}  // namespace meshca
