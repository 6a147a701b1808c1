#include "ca/kubernetes/cluster.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/kubernetes/api_token_reviewer.h"
#include "ca/kubernetes/cluster_issuer.h"
#include "ca/kubernetes/cluster_pods.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/http/patience.h"
#include "test/ca/jwt/jwt_maker.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/awaited_counter.h"
#include "test/fakes/counting_entropy.h"

namespace meshca::kubernetes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Waits for what must come.
template <typename Condition>
bool ComesTrue(Condition condition) {
  const absl::Time until = absl::Now() + http::kPatience;
  while (!condition()) {
    if (absl::Now() > until) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

std::string ListOf(const std::string& items) {
  return absl::StrCat(R"({"kind":"List","metadata":{"resourceVersion":"7"},"items":[)", items, "]}");
}

// A cluster of one pod, whose watches say nothing more until `pod_goes`.
struct ScriptedCluster {
  AwaitedCounter pod_goes;
  std::atomic<int> asked_for_namespaces = 0;
  http::ScriptedServer server{[this](http::ScriptedPeer& peer, int) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const bool of_pods = absl::StrContains(head, "/pods?");
      if (absl::StrContains(head, "watch=true")) {
        peer.Send(kChunkedHead);
        if (of_pods) {
          if (!pod_goes.Await(1)) return;
          peer.Send(Chunk(absl::StrCat(R"({"type":"DELETED","object":)", kPod, "}\n")));
        }
        peer.AwaitEnd();
        return;
      }
      if (absl::StrContains(head, "/namespaces?")) ++asked_for_namespaces;
      peer.Send(HttpAnswer(200, ListOf(of_pods ? kPod : kAccount)));
    }
  }};
  static constexpr char kUid[] = "0b5d2b6e-9c1f-4e55-8a3d-000000000001";
  static constexpr char kPod[] =
      R"({"metadata":{"uid":"0b5d2b6e-9c1f-4e55-8a3d-000000000001","namespace":"web","name":"front-1","resourceVersion":"8",)"
      R"("labels":{"app":"front"}},"spec":{"serviceAccountName":"front","nodeName":"node-1"},"status":{"phase":"Running"}})";
  static constexpr char kAccount[] =
      R"({"metadata":{"uid":"0b5d2b6e-9c1f-4e55-8a3d-000000000002","namespace":"web","name":"front","resourceVersion":"3"}})";
};

TEST(ClusterPods, KnowWhatTheirWatchesTell) {
  ScriptedCluster cluster;
  const auto api = ConnectTo(cluster.server);
  CountingEntropy entropy;
  ClusterPods pods(*api, SystemClock(), entropy, {"app"});
  ASSERT_TRUE(ComesTrue([&] { return pods.Age() < absl::InfiniteDuration(); })) << pods.LastError();
  const auto pod = pods.FindPod(ScriptedCluster::kUid);
  ASSERT_TRUE(pod.has_value());
  EXPECT_EQ(pod->account.Text(), "web/front");
  EXPECT_EQ(pod->node, "node-1");
  EXPECT_EQ(pods.AccountUid({"web", "front"}), "0b5d2b6e-9c1f-4e55-8a3d-000000000002");
  EXPECT_THAT(pods.AccountsOn("node-1", absl::Now()), ElementsAre(AccountName{"web", "front"}));
  EXPECT_EQ(pods.directory().LabelsOf(ScriptedCluster::kUid).size(), 1u);
  cluster.pod_goes.Add();
  ASSERT_TRUE(ComesTrue([&] { return pods.IsGone(ScriptedCluster::kUid); }));
  EXPECT_FALSE(pods.FindPod(ScriptedCluster::kUid).has_value());
  pods.Stop();
  // A watch that lags would tell of the end of a namespace whose accounts have been made anew.
  EXPECT_EQ(cluster.asked_for_namespaces, 0);
}

// An API server with a key set, a pod, and an opinion on every other token.
TEST(Cluster, JudgesTokensByItsOwnPodsAndAsksInDoubt) {
  const JwtMaker maker;
  std::atomic<int> reviews = 0;
  const PodToken token{.account_uid = "0b5d2b6e-9c1f-4e55-8a3d-000000000002",
                       .pod = "front-1",
                       .pod_uid = ScriptedCluster::kUid,
                       .begins = absl::Now(),
                       .ends = absl::Now() + absl::Hours(1)};
  PodToken unbound = token;
  unbound.pod_uid = "";
  http::ScriptedServer scripted([&](http::ScriptedPeer& peer, int) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      if (absl::StrContains(head, "watch=true")) {
        peer.Send(kChunkedHead);
        peer.AwaitEnd();
        return;
      }
      std::string body;
      if (absl::StrContains(head, "/pods?")) body = ListOf(ScriptedCluster::kPod);
      if (absl::StrContains(head, "/serviceaccounts?")) body = ListOf(ScriptedCluster::kAccount);
      if (absl::StrContains(head, "openid-configuration")) body = R"({"issuer":"https://kubernetes.test"})";
      if (absl::StrContains(head, "/openid/v1/jwks")) body = maker.JwksText();
      const bool is_review = absl::StartsWith(head, "POST ");
      if (is_review) {
        ++reviews;
        body = R"({"kind":"TokenReview","status":{"authenticated":true,"audiences":["istio-ca"],"user":{"username":)"
               R"("system:serviceaccount:web:front","uid":"0b5d2b6e-9c1f-4e55-8a3d-000000000002"}}})";
      }
      peer.Send(HttpAnswer(is_review ? 201 : 200, body));
      // The question's body is not read: what comes next comes on another connection.
      if (is_review) return peer.AwaitEnd();
    }
  });
  ClusterOptions options;
  options.api_server.url = scripted.url("/");
  options.api_server.described = "a test's configuration";
  options.tokens.audiences = {"istio-ca"};
  options.tokens.spiffe_id =
      ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, TrustDomain::Parse("cluster.local").value())
          .value();
  CountingEntropy entropy;
  auto cluster = Cluster::Open(std::move(options), SystemClock(), entropy).value();
  ASSERT_TRUE(ComesTrue([&] {
    const ClusterReport report = cluster->Report();
    return !report.issuer.empty() && report.keys.keys != nullptr && report.watch_age < absl::InfiniteDuration();
  }));
  std::shared_ptr<Authenticator> authenticator = Cluster::AuthenticatorOf(cluster);
  const auto ask = [&](const PodToken& asked) {
    Credentials credentials;
    credentials.bearer_token = SecretBytes::CopyOf(maker.Token(asked.Claims()));
    AwaitedCounter ended;
    absl::StatusOr<CallerIdentity> result;
    authenticator->Authenticate(std::move(credentials), absl::Now(), [&](absl::StatusOr<CallerIdentity> caller) {
      result = std::move(caller);
      ended.Add();
    });
    EXPECT_TRUE(ended.Await(1));
    return result;
  };
  const auto caller = ask(token);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->ids.front().uri(), "spiffe://cluster.local/ns/web/sa/front");
  EXPECT_EQ(reviews, 0);
  const auto reviewed = ask(unbound);
  EXPECT_TRUE(reviewed.ok()) << reviewed.status();
  EXPECT_EQ(reviews, 1);
  const ClusterReport report = cluster->Report();
  EXPECT_EQ(report.pods, 1u);
  EXPECT_EQ(report.token_reviews, 1u);
  EXPECT_EQ(report.signatures_verified, 2u);
  EXPECT_THAT(report.api_server, HasSubstr("a test's configuration"));
  const auto rights = cluster->rights();
  const PodOrigin origin = PodOrigin::From(caller->origin).value();
  EXPECT_TRUE(rights->CheckPodOrigin(origin, absl::Now()).ok());
  Cluster* const borrowed = cluster.get();
  cluster.reset();
  EXPECT_TRUE(ask(token).ok()) << "whoever holds the authenticator holds the cluster";
  borrowed->Stop();
  EXPECT_TRUE(absl::IsUnavailable(ask(token).status())) << "nobody is judged any more, whoever holds it";
  EXPECT_EQ(borrowed->Report().pods, 1u);
  authenticator.reset();
  EXPECT_TRUE(rights->CheckPodOrigin(origin, absl::Now()).ok()) << "it knows what was known";
}

TEST(Cluster, LooksForTheKeysWhenTheApiServerIsBack) {
  const JwtMaker maker;
  std::atomic<bool> is_there = false;
  http::ScriptedServer scripted([&](http::ScriptedPeer& peer, int) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      if (!is_there) return peer.Break();
      if (absl::StrContains(head, "watch=true")) {
        peer.Send(kChunkedHead);
        return peer.AwaitEnd();
      }
      std::string body = ListOf("");
      if (absl::StrContains(head, "openid-configuration")) body = R"({"issuer":"https://kubernetes.test"})";
      if (absl::StrContains(head, "/openid/v1/jwks")) body = maker.JwksText();
      peer.Send(HttpAnswer(200, body));
    }
  });
  ClusterOptions options;
  options.api_server.url = scripted.url("/");
  options.api_server.outage.probe_every = absl::Milliseconds(5);
  options.tokens.audiences = {"istio-ca"};
  // By itself it would look again when nobody waits any more.
  options.keys.retry_interval = options.keys.url_interval = absl::Hours(1);
  CountingEntropy entropy;
  const auto cluster = Cluster::Open(std::move(options), SystemClock(), entropy).value();
  ASSERT_TRUE(ComesTrue([&] {
    const ClusterReport report = cluster->Report();
    return report.away && !report.keys.error.empty();
  }));
  is_there = true;
  EXPECT_TRUE(ComesTrue([&] { return cluster->Report().keys.keys != nullptr; })) << cluster->Report().keys.error;
}

// What the API server's answer with this HTTP status and body comes to.
absl::StatusOr<TokenReviewAnswer> ReviewAnsweredBy(int status, const std::string& body) {
  http::ScriptedServer scripted([&](http::ScriptedPeer& peer, int) {
    peer.ReadHead();
    peer.Send(HttpAnswer(status, body));
    peer.AwaitEnd();
  });
  const auto api = ConnectTo(scripted);
  ApiTokenReviewer reviewer(*api, http::kPatience);
  AwaitedCounter ended;
  absl::StatusOr<TokenReviewAnswer> result;
  reviewer.Review("t0ken", {"istio-ca"}, [&](absl::StatusOr<TokenReviewAnswer> answer) {
    result = std::move(answer);
    ended.Add();
  });
  EXPECT_TRUE(ended.Await(1));
  return result;
}

TEST(ApiTokenReviewer, TellsGoodTokensFromBadOnesByTheBodyAlone) {
  const auto good = ReviewAnsweredBy(
      201,
      R"({"kind":"TokenReview","status":{"authenticated":true,"audiences":["istio-ca"],"user":{"username":)"
      R"("system:serviceaccount:web:front","uid":"u1","extra":{"authentication.kubernetes.io/pod-uid":["p1"]}}}})");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_TRUE(good->authenticated);
  EXPECT_EQ(good->username, "system:serviceaccount:web:front");
  EXPECT_EQ(good->uid, "u1");
  EXPECT_EQ(good->pod_uid, "p1");
  EXPECT_THAT(good->audiences, ElementsAre("istio-ca"));
  const auto bad = ReviewAnsweredBy(201, R"({"kind":"TokenReview","status":{"error":"expired"}})");
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_FALSE(bad->authenticated);
  EXPECT_EQ(bad->error, "expired");
  EXPECT_FALSE(ReviewAnsweredBy(201, R"({"kind":"Status"})").ok());
  EXPECT_FALSE(ReviewAnsweredBy(201, "<html>").ok());
  EXPECT_EQ(ReviewAnsweredBy(503, "").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReviewAnsweredBy(403, "{}").status().code(), absl::StatusCode::kPermissionDenied);
}

TEST(ClusterIssuer, AsksTheApiServerForNameAndKeys) {
  const JwtMaker maker;
  std::atomic<bool> serves = false;
  std::atomic<int> asked_by_token = 0;
  http::ScriptedServer scripted([&](http::ScriptedPeer& peer, int) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      if (absl::StrContains(head, "Authorization: Bearer t0ken\r\n")) ++asked_by_token;
      if (!serves) {
        peer.Send(HttpAnswer(403, "{}"));
      } else if (absl::StartsWith(head, "GET /prefix/.well-known/openid-configuration ")) {
        peer.Send(HttpAnswer(200, R"({"issuer":"https://kubernetes.test","jwks_uri":"https://elsewhere.test/keys"})"));
      } else if (absl::StartsWith(head, "GET /prefix/openid/v1/jwks ") &&
                 absl::StrContains(head, "application/jwk-set+json")) {
        peer.Send(HttpAnswer(200, maker.JwksText()));
      } else {
        peer.Send(HttpAnswer(404, ""));
      }
    }
  });
  ApiServerOptions options;
  options.url = scripted.url("/prefix/");
  options.token.bytes = std::make_shared<const SecretBytes>(SecretBytes::CopyOf("t0ken\n"));
  JwksSourceOptions intervals;
  intervals.retry_interval = absl::Milliseconds(5);
  intervals.url_interval = absl::Milliseconds(20);
  const auto issuer = ClusterIssuer::Open(std::move(options), std::move(intervals));
  ASSERT_TRUE(issuer.ok()) << issuer.status();
  ASSERT_TRUE(ComesTrue([&] { return !(*issuer)->Report().error.empty(); }));
  EXPECT_EQ((*issuer)->issuer(), "");
  EXPECT_THAT((*issuer)->Report().error, HasSubstr("system:service-account-issuer-discovery"));
  EXPECT_THAT((*issuer)->Report().error,
              HasSubstr("{nonResourceURLs: [\"/.well-known/openid-configuration\"], verbs: [get]}"));
  serves = true;
  ASSERT_TRUE(ComesTrue([&] { return (*issuer)->Current() != nullptr; })) << (*issuer)->Report().error;
  EXPECT_EQ((*issuer)->issuer(), "https://kubernetes.test");
  EXPECT_EQ((*issuer)->Current()->keys().size(), 1u);
  EXPECT_GE(asked_by_token, 3);
  (*issuer)->Stop();
  const std::vector<CallCount> calls = (*issuer)->CallCounts();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].resource, "/.well-known/openid-configuration");
  EXPECT_EQ(calls[1].resource, "/openid/v1/jwks");
}

}  // namespace
}  // namespace meshca::kubernetes
