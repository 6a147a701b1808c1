// Which errors a client is told as they are, which as "again", and which not at all.
#include "ca/rpc/client_status.h"

#include "ca/base/status.h"
#include "gtest/gtest.h"

namespace meshca::rpc {
namespace {

using absl::StatusCode;

TEST(ClientStatus, CodesThatSayWhatToDoPass) {
  for (const StatusCode code : {StatusCode::kInvalidArgument, StatusCode::kUnauthenticated,
                                StatusCode::kPermissionDenied, StatusCode::kResourceExhausted, StatusCode::kUnavailable,
                                StatusCode::kCancelled, StatusCode::kDeadlineExceeded}) {
    const absl::Status error = WithReason(absl::Status(code, "why"), "REASON");
    EXPECT_EQ(ClientStatus(error), error) << CodeName(code);
  }
  EXPECT_EQ(ClientStatus(absl::OkStatus()), absl::OkStatus());
}

TEST(ClientStatus, AnUnsafeStepIsForTheClientToTryAgain) {
  for (const StatusCode code : {StatusCode::kFailedPrecondition, StatusCode::kAborted}) {
    const std::optional<absl::Status> told = ClientStatus(WithReason(absl::Status(code, "why"), "REASON"));
    EXPECT_EQ(told, WithReason(absl::UnavailableError("why"), "REASON")) << CodeName(code);
  }
}

TEST(ClientStatus, WhatExistsAlreadyIsToldWhereItWasMeantToBe) {
  const absl::Status error = WithReason(absl::AlreadyExistsError("node web-1 lives"), "NODE_LIVES");
  EXPECT_EQ(ClientStatus(error), error);
}

TEST(ClientStatus, DetailsOfTheRestStayHere) {
  for (const StatusCode code : {StatusCode::kInternal, StatusCode::kUnknown, StatusCode::kNotFound,
                                StatusCode::kAlreadyExists, StatusCode::kDataLoss}) {
    EXPECT_EQ(ClientStatus(absl::Status(code, "secret detail")), std::nullopt) << CodeName(code);
  }
}

}  // namespace
}  // namespace meshca::rpc
