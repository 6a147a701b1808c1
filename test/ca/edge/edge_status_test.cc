#include "ca/edge/edge_status.h"

#include <gmock/gmock.h>

#include <string>

#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Status kOurFault = WithReason(absl::InternalError("EVP_DigestSign: secret detail"), "OPENSSL");

TEST(EdgeStatus, WhatAClientCanActOnIsToldByEveryEdge) {
  const absl::Status refused = WithReason(absl::PermissionDeniedError("make an entry"), "ENTRY_MISSING");
  for (const absl::Status& told : {CsrEdgeStatus(refused, "test", SystemEntropy()), SdsEdgeStatus(refused),
                                   AdminEdgeStatus(refused, "test", SystemEntropy())}) {
    EXPECT_EQ(told, refused);
  }
}

TEST(EdgeStatus, OurOwnFaultIsToldToTheOperatorAlone) {
  EXPECT_THAT(std::string(CsrEdgeStatus(kOurFault, "test", SystemEntropy()).message()),
              AllOf(HasSubstr("request id"), Not(HasSubstr("secret detail"))));
  EXPECT_THAT(std::string(SdsEdgeStatus(kOurFault).message()),
              AllOf(HasSubstr("its log says how"), Not(HasSubstr("secret detail"))));
  EXPECT_THAT(AdminEdgeStatus(kOurFault, "test", SystemEntropy()),
              AllOf(StatusIs(absl::StatusCode::kInternal, AllOf(HasSubstr("secret detail"), HasSubstr("request id"))),
                    HasReason("OPENSSL")));
}

TEST(EdgeStatus, AnUnsafeStepIsUnavailableToClientsAndItselfToTheOperator) {
  const absl::Status unsafe = absl::FailedPreconditionError("no authority is active");
  EXPECT_THAT(CsrEdgeStatus(unsafe, "test", SystemEntropy()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(SdsEdgeStatus(unsafe), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(AdminEdgeStatus(unsafe, "test", SystemEntropy()), unsafe);
}

}  // namespace
}  // namespace meshca
