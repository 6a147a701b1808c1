#include "ca/kubernetes/api_server.h"

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/awaited_counter.h"
#include "test/fakes/temp_folder.h"

namespace meshca::kubernetes {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

void WriteTo(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

TEST(Resource, HasThePathOfItsGroupAndPlace) {
  EXPECT_EQ(Pods().Path(), "/api/v1/pods");
  EXPECT_EQ(Pods().Path("kube-system", "a/b"), "/api/v1/namespaces/kube-system/pods/a%2Fb");
  const Resource requests = {"certificates.k8s.io", "v1", "podcertificaterequests"};
  EXPECT_EQ(requests.Path("ns", "r", "status"),
            "/apis/certificates.k8s.io/v1/namespaces/ns/podcertificaterequests/r/status");
  EXPECT_EQ(requests.Text("status"), "podcertificaterequests.certificates.k8s.io/status");
  EXPECT_EQ(Pods().Text(), "pods");
}

TEST(ApiServer, SaysWhoAsksForWhat) {
  std::string head;
  http::ScriptedServer scripted([&head](http::ScriptedPeer& peer, int) {
    head = peer.ReadHead();
    peer.Send(HttpAnswer(201, "{}"));
    peer.AwaitEnd();
  });
  const auto server = ConnectTo(scripted, "t0ken\n");
  ApiCall call;
  call.verb = "create";
  call.resource = TokenReviews();
  call.body = "{\"spec\":{}}";
  ASSERT_EQ(Ask(*server, call).value(), "{}");
  EXPECT_THAT(head, StartsWith("POST /prefix/apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1\r\n"));
  EXPECT_THAT(head, AllOf(HasSubstr("Authorization: Bearer t0ken\r\n"), HasSubstr("Content-Type: application/json\r\n"),
                          HasSubstr("Content-Length: 11\r\n")));
}

TEST(ApiServer, ReadsItsTokenAgainForEachCall) {
  TempFolder folder;
  std::vector<std::string> seen;
  http::ScriptedServer scripted([&seen](http::ScriptedPeer& peer, int) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      seen.push_back(head);
      peer.Send(HttpAnswer(200, "{}"));
    }
  });
  ApiServerOptions options;
  options.url = scripted.url();
  options.token.file = folder / "token";
  WriteTo(folder / "token", "first");
  const auto server = ApiServer::Create(std::move(options)).value();
  ASSERT_TRUE(Ask(*server, ListOfPods()).ok());
  WriteTo(folder / "token", "second");
  ASSERT_TRUE(Ask(*server, ListOfPods()).ok());
  EXPECT_THAT(seen, testing::ElementsAre(HasSubstr("Bearer first\r\n"), HasSubstr("Bearer second\r\n")));
}

TEST(ApiServer, AFileOfItsOwnThatIsNotThereIsNoObjectThatIsNotThere) {
  TempFolder folder;
  http::ScriptedServer scripted([](http::ScriptedPeer& peer, int) { peer.AwaitEnd(); });
  ApiServerOptions options;
  options.url = scripted.url();
  options.described = "in-cluster";
  options.token.file = folder / "token";
  const auto by_token = ApiServer::Create(options).value();
  const absl::Status status = Ask(*by_token, ListOfPods()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("in-cluster: the token cannot be read"),
                                                   HasSubstr(folder / "token"), HasSubstr("No such file")));

  options.token = {};
  options.url.https = true;
  options.tls.ca.file = folder / "ca.crt";
  const auto by_tls = ApiServer::Create(options).value();
  const absl::Status of_tls = Ask(*by_tls, ListOfPods()).status();
  EXPECT_EQ(of_tls.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(of_tls.message()), HasSubstr(folder / "ca.crt"));
}

TEST(ApiServer, SaysWhatOfItsOwnIsNotBelieved) {
  TempFolder folder;
  http::ScriptedServer scripted([](http::ScriptedPeer& peer, int) {
    while (!peer.ReadHead().empty()) peer.Send(HttpAnswer(401, StatusOf(401, "Unauthorized", "Unauthorized")));
  });
  const auto message = [&](ApiServerOptions options) {
    options.url = scripted.url();
    options.described = "in-cluster";
    return std::string(Ask(*ApiServer::Create(std::move(options)).value(), ListOfPods()).status().message());
  };
  ApiServerOptions options;
  EXPECT_THAT(message(options), HasSubstr("in-cluster: there is no token and no client certificate: add one"));
  options.tls.certificate.file = folder / "tls.crt";
  EXPECT_THAT(message(options), HasSubstr(absl::StrCat("its client certificate ", folder / "tls.crt", " is not")));
  options.token.file = folder / "token";
  EXPECT_THAT(message(options), AllOf(HasSubstr(folder / "token"), HasSubstr("No such file")));
  WriteTo(folder / "token", "hush");
  EXPECT_THAT(message(options), AllOf(HasSubstr(absl::StrCat("its token ", folder / "token", " is not believed")),
                                      HasSubstr("it is read again"), Not(HasSubstr("hush"))));
}

TEST(ApiServer, AnAnswerThatBreaksOffOrIsNoneIsTheApiServersFault) {
  http::ScriptedServer scripted([](http::ScriptedPeer& peer, int number) {
    peer.ReadHead();
    if (number == 0) peer.Send("SSH-2.0-x\r\n\r\n");
    if (number == 1) peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
    if (number == 2) peer.Send(HttpAnswer(200, std::string(200 * 1024, ' ')));
    if (number == 3) peer.Send(HttpAnswer(200, std::string(65, ' ')));
  });
  const auto server = ConnectTo(scripted);
  for (int i = 0; i < 4; ++i) {
    const absl::Status status = server->Call(ListOfPods(), 64, 2 * http::kPatience).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  }
  EXPECT_EQ(scripted.connections(), 4);
}

TEST(ApiServer, CountsCallsByVerbAndResource) {
  http::ScriptedServer scripted([](http::ScriptedPeer& peer, int) {
    for (int status = 200; !peer.ReadHead().empty(); status = 404) peer.Send(HttpAnswer(status, "{}"));
  });
  const auto server = ConnectTo(scripted);
  EXPECT_TRUE(server->CallCounts().empty());
  EXPECT_TRUE(Ask(*server, ListOfPods()).ok());
  EXPECT_FALSE(Ask(*server, ListOfPods()).ok());
  EXPECT_FALSE(Ask(*server, CallToGet(ConfigMaps(), "a", "b")).ok());
  std::vector<std::string> lines;
  for (const CallCount& count : server->CallCounts()) {
    lines.push_back(absl::StrCat(count.verb, " ", count.resource, " ", count.calls, " ", count.failed));
  }
  EXPECT_THAT(lines, testing::ElementsAre("get configmaps 1 1", "list pods 2 1"));
}

TEST(ApiServer, AnswersLaterWhereNobodyMayWait) {
  RecordingApiServer recorder;
  const auto server = ConnectTo(recorder.server());
  AwaitedCounter answered;
  absl::StatusOr<std::string> body;
  server->Send(ListOfPods(), 1024, 2 * http::kPatience, [&](absl::StatusOr<std::string> answer) {
    body = std::move(answer);
    answered.Add();
  });
  ASSERT_TRUE(answered.Await(1));
  EXPECT_EQ(body.value(), "{}");
  server->Stop();
  bool refused = false;
  server->Send(ListOfPods(), 1024, absl::Seconds(1),
               [&](const absl::StatusOr<std::string>& answer) { refused = absl::IsUnavailable(answer.status()); });
  EXPECT_TRUE(refused) << "at once";
}

struct RefusalCase {
  int status;
  const char* body;
  absl::StatusCode code;
  const char* says;
};

class ApiServerRefusals : public testing::TestWithParam<RefusalCase> {};

TEST_P(ApiServerRefusals, HaveACodeAndSayWhatToDo) {
  http::ScriptedServer scripted([](http::ScriptedPeer& peer, int) {
    while (!peer.ReadHead().empty()) peer.Send(HttpAnswer(GetParam().status, GetParam().body));
  });
  const auto server = ConnectTo(scripted, "t0ken");
  ApiCall call = ListOfPods();
  call.verb = "create";
  call.namespace_name = "web";
  call.subresource = "status";
  const absl::Status status = Ask(*server, call).status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("create pods/status in namespace web"),
                                                   HasSubstr(GetParam().says), Not(HasSubstr("t0ken"))));
  // A stream says the same.
  std::string streamed;
  AwaitedCounter ended;
  ApiServer::Streamed handler;
  handler.on_piece = [](absl::string_view) { return absl::InternalError("a refusal is no piece"); };
  handler.on_end = [&](absl::Status end) {
    streamed = std::string(end.message());
    ended.Add();
  };
  server->Stream(call, http::PatientCall(), std::move(handler));
  ASSERT_TRUE(ended.Await(1));
  EXPECT_EQ(streamed, status.message());
}

INSTANTIATE_TEST_SUITE_P(
    Each, ApiServerRefusals,
    testing::Values(
        RefusalCase{401, R"({"message":"Unauthorized"})", absl::StatusCode::kUnauthenticated,
                    "a test's configuration: its token is not believed, or has ended"},
        RefusalCase{403, R"({"message":"User \"x\" cannot"})", absl::StatusCode::kPermissionDenied,
                    "add this rule to the ClusterRole of meshca: {apiGroups: [\"\"], resources: [pods/status], verbs: "
                    "[create]}"},
        RefusalCase{404, "not json", absl::StatusCode::kNotFound, "HTTP 404: not json"},
        RefusalCase{409, R"({"reason":"AlreadyExists","message":"there"})", absl::StatusCode::kAlreadyExists, "there"},
        RefusalCase{409, R"({"reason":"Conflict","message":"changed"})", absl::StatusCode::kAborted, "changed"},
        RefusalCase{410, R"({"message":"too old"})", absl::StatusCode::kOutOfRange, "too old"},
        RefusalCase{422, R"({"message":"bad\u001b[31m field"})", absl::StatusCode::kInvalidArgument, "bad\\u{1b}[31m"},
        RefusalCase{429, R"({"message":"slow down"})", absl::StatusCode::kResourceExhausted, "slow down"},
        RefusalCase{503, "", absl::StatusCode::kUnavailable, "HTTP 503"}));

TEST(InClusterOptions, TakesThePodsOwnFilesAndSaysWhatIsMissing) {
  TempFolder folder;
  std::map<std::string, std::string> environment;
  const auto get_env = [&environment](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  };
  const auto options = [&] { return InClusterOptions(get_env, folder.path()); };
  EXPECT_THAT(std::string(options().status().message()), HasSubstr("name a kubeconfig file"));
  environment = {{"KUBERNETES_SERVICE_HOST", "fd00::1"}, {"KUBERNETES_SERVICE_PORT", "6443"}};
  EXPECT_THAT(std::string(options().status().message()),
              AllOf(HasSubstr(folder / "token"), HasSubstr("automountServiceAccountToken")));
  WriteTo(folder / "token", "t");
  WriteTo(folder / "ca.crt", "c");
  WriteTo(folder / "namespace", "meshca-system\n");
  const auto found = options();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->url.Origin(), "https://[fd00::1]:6443");
  EXPECT_EQ(found->namespace_name, "meshca-system");
  EXPECT_EQ(found->tls.ca.file, folder / "ca.crt");
}

}  // namespace
}  // namespace meshca::kubernetes
