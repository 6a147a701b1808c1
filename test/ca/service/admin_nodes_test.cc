// Nodes and their tokens, as the admin service handles them.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/identity/join_token_text.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca::admin_methods {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kAgent[] = "spiffe://cluster.local/meshca/agent/web-1";

class AdminNodesTest : public ServiceTest {
 protected:
  absl::StatusOr<v1::CreateTokenResponse> MakeToken(const std::string& node, bool replace = false) {
    v1::CreateTokenRequest request;
    request.set_node(node);
    request.set_replace(replace);
    return CreateToken(context, kActor, request);
  }
  // Issues a certificate to `caller`, by a key of its own; its serial number.
  absl::StatusOr<std::string> Issue(CallerIdentity caller) {
    const auto fresh = *SoftwareKey::Generate(KeyType::kEcP256);
    SubmittedRequest request;
    const std::string uri = caller.ids.front().uri();
    request.caller = std::move(caller);
    request.csr = PemEncode(kPemCertificateRequest, MakeCsr(*fresh, {{uri}, {}, {}, false})).text();
    absl::StatusOr<std::string> serial = absl::UnknownError("");
    Mutex mutex;
    CondVar done;
    bool finished = false;
    pipeline->Submit(std::move(request), [&](absl::StatusOr<IssuedCertificate> issued) {
      MutexLock lock(mutex);
      serial = issued.ok() ? absl::StatusOr<std::string>(issued->record->serial.ToHex()) : issued.status();
      finished = true;
      done.NotifyAll();
    });
    MutexLock lock(mutex);
    while (!finished) done.Wait(mutex);
    return serial;
  }
  // What the Agent service's Join does.
  absl::StatusOr<std::string> Join(const std::string& node, bool replace = false) {
    const auto made = MakeToken(node, replace);
    EXPECT_THAT(made, IsOk());
    CallerIdentity caller = Caller(absl::StrCat("/meshca/agent/", node));
    caller.method = AuthMethod::kJoinToken;
    caller.node = node;
    caller.token_id = made->record().id();
    caller.origin = {OriginKind::kJoinToken, caller.token_id};
    return Issue(std::move(caller));
  }
  // A workload's certificate of that node.
  std::string IssueOn(const std::string& node) {
    CallerIdentity caller = Caller();
    caller.node = node;
    caller.origin = {OriginKind::kOperator, "uid 0"};
    const auto serial = Issue(std::move(caller));
    EXPECT_THAT(serial, IsOk());
    return serial.value_or("");
  }
  absl::StatusOr<v1::Node> Get(const std::string& name) {
    v1::GetNodeRequest request;
    request.set_name(name);
    return GetNode(context, kActor, request);
  }
  absl::StatusOr<v1::BanNodeResponse> Ban(const std::string& name, const std::string& reason = "") {
    v1::BanNodeRequest request;
    request.set_name(name);
    request.set_reason(reason);
    return BanNode(context, kActor, request);
  }
  absl::Status Forget(const std::string& name) {
    v1::ForgetNodeRequest request;
    request.set_name(name);
    return ForgetNode(context, kActor, request).status();
  }
  std::vector<std::string> AuditLines() {
    std::vector<std::string> lines;
    EXPECT_THAT(store.ListAudit([&](const AuditEntry& entry) {
      lines.push_back(absl::StrCat(entry.action, ": ", entry.target, ": ", entry.detail));
      return true;
    }),
                IsOk());
    return lines;
  }

  AdminContext context = Context();
};

TEST_F(AdminNodesTest, ATokenForANodeAloneIsItsAgents) {
  const auto made = MakeToken("web-1", /*replace=*/true);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->record().spiffe_id(), kAgent);
  EXPECT_EQ(made->record().node(), "web-1");
  EXPECT_TRUE(made->record().replace());
  const auto kept = store.FindToken(JoinTokenSha256(made->token()));
  ASSERT_THAT(kept, IsOk());
  EXPECT_TRUE(kept->replace);
  EXPECT_THAT(AuditLines(), Contains(AllOf(HasSubstr("token.create"), HasSubstr("replaces"))));
  EXPECT_THAT(MakeToken("Web"), HasReason("NODE_NAME"));
  EXPECT_THAT(MakeToken(""), HasReason("SPIFFE_ID_INVALID"));
}

TEST_F(AdminNodesTest, NodesAreShownWithWhatTheyHold) {
  EXPECT_EQ(ListNodes(context, kActor, {})->nodes_size(), 0);
  EXPECT_THAT(Get("web-1"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("meshca node list")));
  const auto serial = Join("web-1");
  ASSERT_THAT(serial, IsOk());
  ASSERT_THAT(Join("db-1"), IsOk());
  IssueOn("web-1");
  const auto node = Get("web-1");
  ASSERT_THAT(node, IsOk());
  EXPECT_EQ(node->name(), "web-1");
  EXPECT_EQ(node->state(), "joined");
  EXPECT_EQ(ToTime(node->joined_at()), clock.Now());
  EXPECT_EQ(node->certificate_serial(), *serial);
  EXPECT_EQ(ToTime(node->certificate_not_after()), clock.Now() + absl::Hours(24));
  EXPECT_EQ(node->live_certificates(), 2u);
  EXPECT_FALSE(node->has_banned_at());
  EXPECT_FALSE(node->connected());
  const auto list = ListNodes(context, kActor, {});
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->nodes_size(), 2);
  EXPECT_EQ(list->nodes(0).name(), "db-1");
  EXPECT_EQ(list->nodes(0).live_certificates(), 1u);
  EXPECT_EQ(list->nodes(1).SerializeAsString(), node->SerializeAsString());

  context.attached_agent = [](absl::string_view name) -> std::optional<AttachedAgent> {
    if (name != "web-1") return std::nullopt;
    return AttachedAgent{true, "1.2", 7, 30, 2};
  };
  const auto attached = Get("web-1");
  EXPECT_TRUE(attached->connected());
  EXPECT_EQ(attached->version(), "1.2");
  EXPECT_EQ(attached->trust_version(), 7u);
  EXPECT_EQ(attached->consumers(), 30u);
  EXPECT_EQ(attached->behind(), 2u);
  EXPECT_FALSE(Get("db-1")->connected());

  clock.Advance(absl::Hours(25));
  EXPECT_EQ(Get("web-1")->state(), "expired");
  EXPECT_EQ(Get("web-1")->live_certificates(), 0u);
}

TEST_F(AdminNodesTest, ABanIsAuditedAndFelt) {
  ASSERT_THAT(Join("web-1"), IsOk());
  IssueOn("web-1");
  IssueOn("web-2");
  subscribers.keys_dropped = 3;
  EXPECT_THAT(Ban("web-9"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("meshca node list")));
  EXPECT_THAT(Ban("web-1", "two\nlines"), HasReason("BAN_REASON"));
  EXPECT_THAT(Ban("web-1", std::string(256, 'x')), HasReason("BAN_REASON"));
  EXPECT_EQ(Get("web-1")->state(), "joined");

  const int judged = judgements;
  const auto ban = Ban("web-1", "stolen");
  ASSERT_THAT(ban, IsOk());
  EXPECT_EQ(ban->certificates(), 2u);
  EXPECT_EQ(ban->keys_dropped(), 3u);
  EXPECT_EQ(ban->node().state(), "banned");
  EXPECT_EQ(ban->node().live_certificates(), 0u);
  EXPECT_EQ(judgements, judged + 1) << "open connections are judged again";
  EXPECT_EQ(counted_revoked, 2u);
  const auto node = Get("web-1");
  EXPECT_EQ(node->ban_reason(), "stolen");
  EXPECT_EQ(node->banned_by(), kActor);
  EXPECT_EQ(ToTime(node->banned_at()), clock.Now());
  EXPECT_THAT(AuditLines(), Contains("node.ban: node web-1: stolen"));
  EXPECT_THAT(MakeToken("web-1"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("node forget web-1")));

  ASSERT_THAT(Forget("web-1"), IsOk());
  EXPECT_THAT(AuditLines(), Contains("node.forget: node web-1: "));
  EXPECT_THAT(Get("web-1"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Join("web-1"), IsOk());
}

TEST_F(AdminNodesTest, OneThatLivesIsNotForgottenNorJoinedTwice) {
  ASSERT_THAT(Join("web-1"), IsOk());
  EXPECT_THAT(Forget("web-1"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("node ban web-1")));
  EXPECT_THAT(Forget("web-2"), StatusIs(absl::StatusCode::kNotFound));
  const uint64_t signed_again = pipeline->Stats().signed_again;
  const auto second = Join("web-1");
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--replace")));
  EXPECT_EQ(pipeline->Stats().signed_again, signed_again) << "another signature would not help";
  EXPECT_THAT(Join("web-1", /*replace=*/true), IsOk());
}

TEST_F(AdminNodesTest, ARevokedAgentIsShownAsSuch) {
  ASSERT_THAT(Join("web-1"), IsOk());
  v1::RevokeCertificatesRequest request;
  request.set_node("web-1");
  ASSERT_THAT(RevokeCertificates(context, kActor, request), IsOk());
  EXPECT_EQ(Get("web-1")->state(), "revoked");
  EXPECT_THAT(Forget("web-1"), IsOk());
}

TEST_F(AdminNodesTest, AServerWithoutAnInventorySaysSo) {
  context.nodes = nullptr;
  EXPECT_THAT(ListNodes(context, kActor, {}), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Get("web-1"), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Ban("web-1"), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Forget("web-1"), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(AdminNodesTest, AnEntrySaysWhichAgentsServeIt) {
  v1::CreateEntryRequest request;
  v1::Entry& entry = *request.mutable_entry();
  entry.set_spiffe_id("spiffe://cluster.local/ns/default/sa/web");
  entry.add_selectors("unix:uid:1000");
  entry.add_nodes("web-*");
  entry.add_nodes("db-1");
  entry.set_hint("public");
  entry.mutable_jwt_ttl()->set_seconds(60);
  const auto made = CreateEntry(context, kActor, request);
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(made->nodes(), ElementsAre("db-1", "web-*"));
  EXPECT_EQ(made->hint(), "public");
  EXPECT_EQ(made->jwt_ttl().seconds(), 60);
  const auto kept = store.ListEntries();
  ASSERT_THAT(kept, IsOk());
  EXPECT_EQ(kept->front().jwt_ttl, absl::Minutes(1));
  EXPECT_THAT(AuditLines(), Contains(HasSubstr("on nodes db-1, web-*")));
  entry.clear_nodes();
  entry.add_nodes("Web");
  EXPECT_THAT(CreateEntry(context, kActor, request), HasReason("NODE_GLOB"));
}

}  // namespace
}  // namespace meshca::admin_methods
