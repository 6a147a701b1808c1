#include "ca/kubernetes/token_review.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca::kubernetes {
namespace {

using ::testing::ElementsAre;

TEST(TokenReview, IsAskedWithTokenAndAudiences) {
  RecordingApiServer recorder;
  const auto server = ConnectTo(recorder.server());
  ASSERT_TRUE(Ask(*server, CallToReviewToken("a.\"b.c", {"istio-ca", "x"})).ok());
  EXPECT_THAT(recorder.last().head,
              testing::StartsWith("POST /prefix/apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1\r\n"));
  EXPECT_EQ(recorder.last().body, R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview",)"
                                  R"("spec":{"token":"a.\"b.c","audiences":["istio-ca","x"]}})");
}

TEST(TokenReview, SaysWhoseTokenItIs) {
  const TokenReview review =
      ReadTokenReview(R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{},
        "spec":{"token":"a.b.c","audiences":["istio-ca","x"]},
        "status":{"authenticated":true,"user":{"username":"system:serviceaccount:web:app","uid":"u1","groups":["g"],
        "extra":{"authentication.kubernetes.io/pod-name":["app-1"],"authentication.kubernetes.io/pod-uid":["u2"],
        "authentication.kubernetes.io/node-name":["n1"]}},"audiences":["istio-ca"]}})")
          .value();
  EXPECT_TRUE(review.authenticated);
  EXPECT_EQ(review.error, "");
  EXPECT_EQ(review.username, "system:serviceaccount:web:app");
  EXPECT_EQ(review.uid, "u1");
  EXPECT_THAT(review.audiences, ElementsAre("istio-ca"));
  EXPECT_EQ(review.pod_name, "app-1");
  EXPECT_EQ(review.pod_uid, "u2");
  EXPECT_EQ(review.node_name, "n1");
  EXPECT_EQ(review.node_uid, "");
}

// The API server answers 201 to a bad token too.
TEST(TokenReview, ABadTokenIsAnAnswer) {
  const auto review = ReadTokenReview(R"({"kind":"TokenReview","status":{"user":{},"error":"token \u001b is bad"}})");
  ASSERT_TRUE(review.ok()) << review.status();
  EXPECT_FALSE(review->authenticated);
  EXPECT_EQ(review->error, "token \\u{1b} is bad");
  EXPECT_FALSE(ReadTokenReview(R"({"kind":"TokenReview","status":{"authenticated":"yes"}})").value().authenticated);
}

TEST(TokenReview, AnythingElseIsNone) {
  for (const char* none :
       {"", "{}", "[]", "[{\"kind\":\"TokenReview\"}]", R"({"kind":"TokenReview"}{"status":{"authenticated":true}})",
        R"({"kind":"Status","status":{"authenticated":true}})", R"({"kind":"TokenR)"}) {
    EXPECT_EQ(ReadTokenReview(none).status().code(), absl::StatusCode::kInvalidArgument) << none;
  }
}

}  // namespace
}  // namespace meshca::kubernetes
