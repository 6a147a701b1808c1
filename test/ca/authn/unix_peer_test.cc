#include "ca/authn/unix_peer.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authn/host_names.h"
#include "ca/authn/operator_peer.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/selector.h"
#include "ca/authn/selector_kind.h"
#include "ca/base/file.h"
#include "ca/x509/digest.h"
#include "ca/x509/encoding.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Code = absl::StatusCode;

class FakeEntries final : public EntryStore {
 public:
  absl::Status CreateEntry(const RegistrationEntry&, const AuditEntry&) override { return absl::OkStatus(); }
  absl::Status PutEntry(const RegistrationEntry&, const AuditEntry&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<RegistrationEntry>> ListEntries() override {
    if (!error.ok()) return error;
    return entries;
  }
  absl::Status DeleteEntry(absl::string_view, const AuditEntry&) override { return absl::OkStatus(); }

  std::vector<RegistrationEntry> entries;
  absl::Status error;
};

class FakeProcesses final : public ProcessTable {
 public:
  absl::StatusOr<uint64_t> StartTime(int32_t pid) const override {
    auto it = start.find(pid);
    if (it == start.end()) return absl::NotFoundError("no such process");
    return it->second;
  }
  absl::StatusOr<std::string> Executable(int32_t pid) const override {
    ++reads;
    auto it = executable.find(pid);
    if (it == executable.end()) return absl::NotFoundError("no such process");
    return it->second;
  }
  absl::StatusOr<std::string> ExecutableSha256(int32_t pid) const override {
    ++digests;
    return sha256;
  }
  absl::StatusOr<std::vector<uint32_t>> SupplementaryGroups(int32_t pid) const override { return groups; }
  absl::StatusOr<std::string> SystemdUnit(int32_t pid) const override { return unit; }

  std::map<int32_t, uint64_t> start = {{42, 7}};
  std::map<int32_t, absl::StatusOr<std::string>> executable = {{42, std::string("/usr/bin/envoy")}};
  std::vector<uint32_t> groups;
  absl::StatusOr<std::string> sha256 = std::string(64, 'a');
  absl::StatusOr<std::string> unit = std::string();
  mutable int reads = 0;
  mutable int digests = 0;
};

class FakeNames final : public NameService {
 public:
  absl::StatusOr<std::string> UserName(uint32_t uid) const override {
    ++asked;
    if (!error.ok()) return error;
    auto it = users.find(uid);
    if (it == users.end()) return absl::NotFoundError("no such user");
    return it->second;
  }
  absl::StatusOr<std::string> GroupName(uint32_t gid) const override {
    ++asked;
    if (!error.ok()) return error;
    auto it = groups.find(gid);
    if (it == groups.end()) return absl::NotFoundError("no such group");
    return it->second;
  }

  std::map<uint32_t, std::string> users = {{1000, "web"}};
  std::map<uint32_t, std::string> groups = {{100, "users"}, {200, "mesh"}};
  absl::Status error;
  mutable int asked = 0;
};

RegistrationEntry Entry(const std::string& path, std::vector<std::string> selectors, absl::Duration ttl = {},
                        std::vector<std::string> dns_names = {}) {
  RegistrationEntry entry;
  entry.id = path;
  entry.spiffe_id = SpiffeId::Parse("spiffe://cluster.local" + path).value();
  entry.selectors = std::move(selectors);
  entry.ttl = ttl;
  entry.dns_names = std::move(dns_names);
  return entry;
}

class UnixPeerTest : public testing::Test {
 protected:
  absl::StatusOr<CallerIdentity> Judge(UnixPeer peer) {
    EXPECT_TRUE(cache_.Reload(store_).ok());
    UnixPeerAuthenticator authenticator(TrustDomain::Parse("cluster.local").value(), cache_, {}, processes_, names_);
    return authenticator.Judge(peer);
  }
  // The same peer at the admin socket.
  CallerIdentity JudgeOperator(UnixPeer peer) {
    EXPECT_TRUE(cache_.Reload(store_).ok());
    UnixPeerAuthenticator entries(TrustDomain::Parse("cluster.local").value(), cache_, {}, processes_, names_);
    return OperatorAuthenticator(entries).Judge(peer);
  }
  static std::vector<std::string> Paths(const absl::StatusOr<CallerIdentity>& caller) {
    std::vector<std::string> paths;
    if (!caller.ok()) return {std::string(caller.status().message())};
    for (const SpiffeId& id : caller->ids) paths.emplace_back(id.path());
    return paths;
  }

  FakeEntries store_;
  FakeProcesses processes_;
  FakeNames names_;
  EntryCache cache_;
};

TEST_F(UnixPeerTest, EverySelectorMustFit) {
  store_.entries = {Entry("/uid", {"unix:uid:1000"}),
                    Entry("/gid", {"unix:gid:100"}),
                    Entry("/both", {"unix:gid:100", "unix:uid:1000"}),
                    Entry("/path", {"unix:path:/usr/bin/envoy"}),
                    Entry("/all", {"unix:gid:100", "unix:path:/usr/bin/envoy", "unix:uid:1000"}),
                    Entry("/other-uid", {"unix:uid:1001"}),
                    Entry("/other-gid", {"unix:gid:101", "unix:uid:1000"}),
                    Entry("/other-path", {"unix:path:/usr/bin/env", "unix:uid:1000"}),
                    Entry("/two-uids", {"unix:uid:1000", "unix:uid:1001"}),
                    Entry("/none", {}),
                    Entry("/unknown", {"k8s:ns:default", "unix:uid:1000"})};
  auto caller = Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  EXPECT_THAT(Paths(caller), ElementsAre("/all", "/both", "/gid", "/path", "/uid"));
  EXPECT_EQ(caller->method, AuthMethod::kUnixPeer);
  EXPECT_FALSE(caller->any_id_of_trust_domain);
  EXPECT_EQ(caller->subject, "uid 1000");
  EXPECT_EQ(caller->instance, "pid 42 start 7");
  EXPECT_EQ(processes_.reads, 1) << "the executable is read once, however many entries ask for it";
}

TEST_F(UnixPeerTest, TheOldestEntryComesFirst) {
  store_.entries = {Entry("/young", {"unix:uid:1000"}), Entry("/old", {"unix:uid:1000"})};
  store_.entries[0].created_at = absl::FromUnixSeconds(200);
  store_.entries[1].created_at = absl::FromUnixSeconds(100);
  EXPECT_THAT(Paths(Judge({.pid = 42, .uid = 1000, .gid = 1, .start_time = 7})), ElementsAre("/old", "/young"));
}

TEST_F(UnixPeerTest, NoEntryNamesTheCommandThatMakesOne) {
  EXPECT_THAT(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING",
                      "no registration entry fits uid 1000; make one: meshca entry create spiffe://cluster.local/... "
                      "--selector unix:uid:1000"));
  EXPECT_EQ(processes_.reads, 0) << "no entry asks for a path";
}

TEST_F(UnixPeerTest, OnANodeTheCommandNamesTheNode) {
  const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
  UnixPeerAuthenticator authenticator(domain, cache_, EntryAdvice{"web-3"}, processes_, names_);
  const auto refused = authenticator.Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  EXPECT_THAT(refused, Refuses(Code::kPermissionDenied, "ENTRY_MISSING",
                               "make one, on the CA's host: meshca entry create spiffe://cluster.local/... --selector "
                               "unix:uid:1000 --node web-3"));
  const SpiffeId web = SpiffeId::Parse("spiffe://cluster.local/web").value();
  EXPECT_THAT(absl::StatusOr<CallerIdentity>(NameWantedId(refused.status(), domain, web)),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING",
                      "meshca entry create spiffe://cluster.local/web --selector unix:uid:1000 --node web-3"));
}

TEST_F(UnixPeerTest, AReusedPidIsNotTheProcessThatConnected) {
  store_.entries = {Entry("/path", {"unix:path:/usr/bin/envoy"})};
  EXPECT_THAT(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 6}),
              Refuses(Code::kPermissionDenied, "UNIX_PEER_GONE", "another has its number"));
  EXPECT_THAT(Judge({.pid = 43, .uid = 1000, .gid = 100, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "UNIX_PEER_GONE", "no such process"));
  EXPECT_THAT(Judge({.pid = 0, .uid = 1000, .gid = 100, .start_time = 0}),
              Refuses(Code::kPermissionDenied, "UNIX_PEER_GONE", "not visible"));
}

TEST_F(UnixPeerTest, AnUnreadableExecutableSaysSo) {
  store_.entries = {Entry("/path", {"unix:path:/usr/bin/envoy"}),
                    Entry("/uid-and-path", {"unix:path:/usr/bin/envoy", "unix:uid:1000"})};
  processes_.executable.at(42) = absl::PermissionDeniedError("read /proc/42/exe: Permission denied");
  EXPECT_THAT(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "could not be judged: read /proc/42/exe"));
}

TEST_F(UnixPeerTest, AnOperatorMayNameAnyIdButReservedOnes) {
  const SpiffeId any = SpiffeId::Parse("spiffe://cluster.local/demo").value();
  const CallerIdentity caller = JudgeOperator({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  EXPECT_EQ(caller.method, AuthMethod::kServerUser);
  EXPECT_EQ(caller.subject, "uid 1000");
  EXPECT_EQ(caller.instance, "pid 42 start 7");
  EXPECT_THAT(caller.ids, IsEmpty()) << "default still needs an entry";
  EXPECT_TRUE(caller.MayHold(any));
  EXPECT_TRUE(caller.MayHaveDnsName(any, "anything.test"));
  EXPECT_EQ(caller.OriginOf(any), (Origin{OriginKind::kOperator, "uid 1000"}));
  EXPECT_FALSE(caller.MayHold(SpiffeId::Parse("spiffe://cluster.local/meshca/admin/x").value()));
}

TEST_F(UnixPeerTest, AnOperatorsEntriesSayWhatDefaultIsAndNarrowNothing) {
  store_.entries = {Entry("/a", {"unix:uid:1000"}, absl::Hours(1), {"a.test"}), Entry("/b", {"unix:uid:1001"})};
  const CallerIdentity caller = JudgeOperator({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  ASSERT_THAT(Paths(caller), ElementsAre("/a"));
  EXPECT_TRUE(caller.any_id_of_trust_domain);
  EXPECT_EQ(caller.LifetimeMax(caller.ids.front()), absl::ZeroDuration());
  EXPECT_EQ(caller.OriginOf(caller.ids.front()).kind, OriginKind::kOperator);
}

TEST(OperatorAuthenticator, RecognisesPeersOfTheAdminSocketAlone) {
  EntryCache cache;
  UnixPeerAuthenticator entries(TrustDomain::Parse("cluster.local").value(), cache);
  const OperatorAuthenticator authenticator(entries);
  Credentials credentials;
  EXPECT_FALSE(authenticator.Recognises(credentials));
  credentials.unix_peer = UnixPeer{.pid = 42, .uid = 0, .gid = 0, .start_time = 7};
  EXPECT_FALSE(authenticator.Recognises(credentials)) << "root is nobody on the API socket";
  credentials.unix_peer->admin_socket = true;
  EXPECT_TRUE(authenticator.Recognises(credentials));
}

TEST_F(UnixPeerTest, NobodyIsSpecialNeitherRootNorTheServersOwnUser) {
  const UnixPeer own = {.pid = 42, .uid = getuid(), .gid = getgid(), .start_time = 7};
  EXPECT_THAT(Judge(own), Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "meshca entry create"));
  const UnixPeer root = {.pid = 42, .uid = 0, .gid = 0, .start_time = 7};
  EXPECT_THAT(Judge(root), Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "--selector unix:uid:0"));
  store_.entries = {Entry("/a", {"unix:uid:0"})};
  auto caller = Judge(root);
  EXPECT_THAT(Paths(caller), ElementsAre("/a"));
  EXPECT_EQ(caller->method, AuthMethod::kUnixPeer);
  EXPECT_FALSE(caller->any_id_of_trust_domain);
}

TEST_F(UnixPeerTest, AnEntryForNodesIsNotForTheCasOwnSocket) {
  const UnixPeer peer = {.pid = 42, .uid = 1000, .gid = 100, .start_time = 7};
  store_.entries = {Entry("/nodes", {"unix:uid:1000"}), Entry("/others", {"unix:uid:1001"})};
  store_.entries[0].nodes = {"db-1", "web-*"};
  EXPECT_THAT(Judge(peer),
              Refuses(Code::kPermissionDenied, "ENTRY_FOR_NODES",
                      "entry /nodes, which gives spiffe://cluster.local/nodes, is for nodes (db-1, web-*)"));
  EXPECT_THAT(Judge({.pid = 42, .uid = 1002, .gid = 100, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "uid 1002"));
  store_.entries.push_back(Entry("/here", {"unix:uid:1000"}));
  EXPECT_THAT(Paths(Judge(peer)), ElementsAre("/here"));
}

TEST_F(UnixPeerTest, AHintTellsOneIdentityFromTheOthers) {
  store_.entries = {Entry("/a", {"unix:uid:1000"}), Entry("/b", {"unix:uid:1000"}), Entry("/c", {"unix:uid:1000"}),
                    Entry("/d", {"unix:uid:1000"})};
  store_.entries[0].hint = store_.entries[1].hint = "public";
  store_.entries[2].hint = "internal";
  store_.entries[0].jwt_ttl = absl::Minutes(1);
  store_.entries.push_back(Entry("/a", {"unix:gid:100"}));
  store_.entries.back().jwt_ttl = absl::Seconds(20);
  const auto caller = Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  ASSERT_TRUE(caller.ok());
  std::vector<std::string> hints;
  for (const IdentityRights& rights : caller->rights) hints.push_back(rights.hint);
  EXPECT_THAT(hints, ElementsAre("public", "", "internal", "")) << "the oldest has it";
  EXPECT_EQ(caller->rights[0].jwt_ttl, absl::Seconds(20)) << "the shortest of its entries";
  EXPECT_EQ(caller->rights[1].jwt_ttl, absl::ZeroDuration());
}

TEST_F(UnixPeerTest, ARefusalNamesTheIdThatWasAskedFor) {
  const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
  const SpiffeId web = SpiffeId::Parse("spiffe://cluster.local/ns/a/sa/web").value();
  const UnixPeer peer = {.pid = 42, .uid = 1000, .gid = 100, .start_time = 7};
  EXPECT_THAT(absl::StatusOr<CallerIdentity>(NameWantedId(Judge(peer).status(), domain, web)),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING",
                      "meshca entry create spiffe://cluster.local/ns/a/sa/web --selector unix:uid:1000"));
  const SpiffeId reserved = SpiffeId::Parse("spiffe://cluster.local/meshca/admin/x").value();
  EXPECT_THAT(absl::StatusOr<CallerIdentity>(NameWantedId(Judge(peer).status(), domain, reserved)),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "spiffe://cluster.local/... --selector"))
      << "nobody is told to make an entry for a reserved ID";
  const absl::Status other = absl::UnavailableError("the CA is starting");
  EXPECT_EQ(NameWantedId(other, domain, web), other);
}

TEST_F(UnixPeerTest, TheOverflowIdsNameNobody) {
  const OverflowIds& overflow = OverflowIds::OfKernel();
  const std::string uid = absl::StrCat("unix:uid:", overflow.uid);
  const std::string gid = absl::StrCat("unix:gid:", overflow.gid);
  store_.entries = {Entry("/uid", {uid}), Entry("/gid", {gid}), Entry("/both", {gid, "unix:uid:1000"}),
                    Entry("/none", {"unix:uid:4294967295"}), Entry("/path", {"unix:path:/usr/bin/envoy"})};
  const UnixPeer stranger = {.pid = 42, .uid = overflow.uid, .gid = overflow.gid, .start_time = 7};
  EXPECT_THAT(Paths(Judge(stranger)), ElementsAre("/path")) << "what does not rest on the number still fits";
  EXPECT_THAT(Judge({.pid = 42, .uid = 1000, .gid = overflow.gid, .start_time = 7})->ids, testing::SizeIs(1));
  store_.entries.pop_back();
  EXPECT_THAT(Judge(stranger), Refuses(Code::kPermissionDenied, "UNIX_PEER_UNMAPPED", "a uid of its own"));
  EXPECT_THAT(Judge({.pid = 42, .uid = 4294967295, .gid = 1, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "UNIX_PEER_UNMAPPED", "is no user"));
}

TEST(OverflowIds, AreTheKernels) {
  std::ifstream uid("/proc/sys/kernel/overflowuid"), gid("/proc/sys/kernel/overflowgid");
  uint32_t expected_uid = 0, expected_gid = 0;
  ASSERT_TRUE(uid >> expected_uid && gid >> expected_gid);
  EXPECT_EQ(OverflowIds::OfKernel().uid, expected_uid);
  EXPECT_EQ(OverflowIds::OfKernel().gid, expected_gid);
  const OverflowIds moved = {.uid = 7, .gid = 8};
  const auto fault = [&](absl::string_view text) {
    const Selector selector = Selector::Parse(text).value();
    return selector.kind->WhyFitsNobody(selector.value, moved);
  };
  EXPECT_EQ(fault("unix:uid:65534"), "");
  EXPECT_THAT(fault("unix:uid:7"), testing::HasSubstr("the user nobody"));
  EXPECT_THAT(fault("unix:gid:8"), testing::HasSubstr("names nobody"));
  EXPECT_EQ(fault("unix:gid:7"), "");
  EXPECT_EQ(fault("unix:path:/usr/bin/envoy"), "");
}

TEST_F(UnixPeerTest, SupplementaryGroupsCount) {
  store_.entries = {Entry("/mesh", {"unix:gid:200"}), Entry("/other", {"unix:gid:300"}),
                    Entry("/both", {"unix:gid:100", "unix:gid:200"})};
  const UnixPeer peer = {.pid = 42, .uid = 1000, .gid = 100, .start_time = 7};
  EXPECT_THAT(Judge(peer), Refuses(Code::kPermissionDenied, "ENTRY_MISSING", ""));
  processes_.groups = {5, 200};
  EXPECT_THAT(Paths(Judge(peer)), ElementsAre("/both", "/mesh"));
  const UnixPeer reused = {.pid = 42, .uid = 1000, .gid = 100, .start_time = 6};
  EXPECT_THAT(Judge(reused), Refuses(Code::kPermissionDenied, "UNIX_PEER_GONE", "another has its number"))
      << "another process's groups";
}

TEST_F(UnixPeerTest, NamesOfUserAndGroupsAreTheHosts) {
  store_.entries = {Entry("/web", {"unix:user:web"}), Entry("/mesh", {"unix:group:mesh"}),
                    Entry("/db", {"unix:user:db"}), Entry("/web-mesh", {"unix:group:mesh", "unix:user:web"})};
  processes_.groups = {200, 201};
  EXPECT_THAT(Paths(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7})),
              ElementsAre("/mesh", "/web", "/web-mesh"));
  EXPECT_THAT(Paths(Judge({.pid = 42, .uid = 1001, .gid = 100, .start_time = 7})), ElementsAre("/mesh"))
      << "a user without a name";
  names_.error = absl::UnavailableError("the name service did not answer");
  EXPECT_THAT(
      Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7}),
      Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "could not be judged: the name service did not answer"));
}

TEST_F(UnixPeerTest, TheOverflowIdsHaveNoNames) {
  const OverflowIds& overflow = OverflowIds::OfKernel();
  names_.users[overflow.uid] = "nobody";
  names_.groups[overflow.gid] = "nogroup";
  store_.entries = {Entry("/user", {"unix:user:nobody"}), Entry("/group", {"unix:group:nogroup"})};
  processes_.groups = {overflow.gid};
  EXPECT_THAT(Judge({.pid = 42, .uid = overflow.uid, .gid = overflow.gid, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "UNIX_PEER_UNMAPPED", ""));
  EXPECT_EQ(names_.asked, 0);
}

TEST_F(UnixPeerTest, AProgramIsKnownByWhatIsInIt) {
  const std::string own(64, 'a');
  store_.entries = {Entry("/own", {"unix:sha256:" + own}), Entry("/other", {"unix:sha256:" + std::string(64, 'b')}),
                    Entry("/own-of-root", {"unix:sha256:" + own, "unix:uid:0"})};
  EXPECT_THAT(Paths(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7})), ElementsAre("/own"));
  EXPECT_EQ(processes_.digests, 1) << "read once a judgement";
  processes_.sha256 = absl::FailedPreconditionError("/proc/42/exe changed while it was read");
  EXPECT_THAT(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING", "changed while it was read"));
}

TEST_F(UnixPeerTest, AUnitOfTheSystemIsASelector) {
  store_.entries = {Entry("/web", {"systemd:unit:web.service"}), Entry("/db", {"systemd:unit:db.service"})};
  EXPECT_THAT(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7}),
              Refuses(Code::kPermissionDenied, "ENTRY_MISSING", ""))
      << "in no unit";
  processes_.unit = std::string("web.service");
  EXPECT_THAT(Paths(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7})), ElementsAre("/web"));
}

// Runs Authenticate and says on which thread the answer came.
class UnixPeerThreadTest : public UnixPeerTest {
 protected:
  void SetUp() override {
    authenticator_.emplace(TrustDomain::Parse("cluster.local").value(), cache_, EntryAdvice(), processes_, names_);
  }
  bool AnsweredAtOnce(std::vector<RegistrationEntry> entries, std::vector<std::string>* paths) {
    store_.entries = std::move(entries);
    EXPECT_TRUE(cache_.Reload(store_).ok());
    Credentials credentials;
    credentials.unix_peer = UnixPeer{.pid = 42, .uid = 1000, .gid = 100, .start_time = 7};
    credentials.source = "uid 1000";
    std::promise<std::thread::id> answered;
    authenticator_->Authenticate(std::move(credentials), absl::Now(), [&](absl::StatusOr<CallerIdentity> caller) {
      *paths = Paths(caller);
      answered.set_value(std::this_thread::get_id());
    });
    return answered.get_future().get() == std::this_thread::get_id();
  }

  std::optional<UnixPeerAuthenticator> authenticator_;
};

TEST_F(UnixPeerThreadTest, WhatIsInMemoryIsJudgedOnTheCallersThread) {
  std::vector<std::string> paths;
  EXPECT_TRUE(AnsweredAtOnce(
      {Entry("/a", {"unix:uid:1000"}), Entry("/b", {"unix:path:/usr/bin/envoy"}), Entry("/c", {"unix:gid:100"}),
       Entry("/d", {"unix:sha256:" + std::string(64, 'a'), "unix:uid:0"})},
      &paths));
  EXPECT_THAT(paths, ElementsAre("/a", "/b", "/c"));
  EXPECT_EQ(processes_.digests, 0) << "no entry that fits so far rests on it";
}

TEST_F(UnixPeerThreadTest, WhatMayWaitIsJudgedElsewhere) {
  std::vector<std::string> paths;
  EXPECT_FALSE(AnsweredAtOnce({Entry("/a", {"unix:sha256:" + std::string(64, 'a'), "unix:uid:1000"})}, &paths));
  EXPECT_THAT(paths, ElementsAre("/a"));
}

TEST_F(UnixPeerThreadTest, ANameIsWaitedForOnce) {
  std::vector<std::string> paths;
  EXPECT_FALSE(AnsweredAtOnce({Entry("/a", {"unix:user:web"})}, &paths));
  EXPECT_THAT(paths, ElementsAre("/a"));
  EXPECT_TRUE(AnsweredAtOnce({Entry("/a", {"unix:user:web"})}, &paths)) << "it is in memory now";
  EXPECT_EQ(names_.asked, 1);
}

TEST_F(UnixPeerTest, LifetimeAndNamesStayWithTheirId) {
  store_.entries = {Entry("/a", {"unix:uid:1000"}, absl::Hours(24), {"a.test"}),
                    Entry("/b", {"unix:uid:1000"}, absl::Hours(2), {"b.test"}),
                    Entry("/b", {"unix:gid:100"}, absl::Hours(1), {"b2.test"}),
                    Entry("/b", {"unix:path:/usr/bin/envoy"}), Entry("/c", {"unix:uid:1000"})};
  auto caller = Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  EXPECT_THAT(Paths(caller), ElementsAre("/a", "/b", "/c"));
  const auto id = [](const std::string& path) { return SpiffeId::Parse("spiffe://cluster.local" + path).value(); };
  EXPECT_EQ(caller->LifetimeMax(id("/a")), absl::Hours(24));
  EXPECT_EQ(caller->LifetimeMax(id("/b")), absl::Hours(1)) << "of several entries, the shortest";
  EXPECT_EQ(caller->LifetimeMax(id("/c")), absl::ZeroDuration());
  EXPECT_TRUE(caller->MayHaveDnsName(id("/b"), "b.test"));
  EXPECT_TRUE(caller->MayHaveDnsName(id("/b"), "b2.test"));
  EXPECT_FALSE(caller->MayHaveDnsName(id("/a"), "b.test"));
  EXPECT_FALSE(caller->MayHaveDnsName(id("/c"), "a.test"));
}

TEST_F(UnixPeerTest, TheOriginOfAnIdIsTheOldestEntryThatGivesIt) {
  // In the store's order the youngest stands first, and the oldest fits by its program.
  store_.entries = {Entry("/b", {"unix:uid:1000"}), Entry("/b", {"unix:gid:100"}),
                    Entry("/b", {"unix:path:/usr/bin/envoy"}), Entry("/a", {"unix:uid:1000"}),
                    Entry("/b", {"unix:uid:1001"})};
  const char* const ids[] = {"youngest", "middle", "oldest", "of-a", "of-somebody-else"};
  const int created[] = {400, 300, 200, 500, 100};
  for (int i = 0; i < 5; ++i) {
    store_.entries[i].id = ids[i];
    store_.entries[i].created_at = absl::FromUnixSeconds(created[i]);
  }
  auto caller = Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7});
  ASSERT_TRUE(caller.ok()) << caller.status();
  const auto id = [](const std::string& path) { return SpiffeId::Parse("spiffe://cluster.local" + path).value(); };
  EXPECT_EQ(caller->OriginOf(id("/b")), (Origin{OriginKind::kEntry, "oldest"}));
  EXPECT_EQ(caller->OriginOf(id("/a")), (Origin{OriginKind::kEntry, "of-a"}));
  store_.entries[2].created_at = store_.entries[1].created_at = store_.entries[0].created_at;
  EXPECT_EQ(Judge({.pid = 42, .uid = 1000, .gid = 100, .start_time = 7})->OriginOf(id("/b")).reference, "middle")
      << "of one age, the first by its id";
}

TEST_F(UnixPeerTest, AFailedReloadKeepsTheEntries) {
  store_.entries = {Entry("/a", {"unix:uid:1000"})};
  ASSERT_TRUE(cache_.Reload(store_).ok());
  store_.entries.clear();
  store_.error = absl::DataLossError("a row's MAC does not fit");
  EXPECT_EQ(cache_.Reload(store_).code(), Code::kDataLoss);
  EXPECT_EQ(cache_.Current()->entries().size(), 1u);
}

TEST(ProcessTable, KnowsThisProcess) {
  const ProcessTable& table = SystemProcessTable();
  auto executable = table.Executable(getpid());
  ASSERT_TRUE(executable.ok()) << executable.status();
  EXPECT_THAT(*executable, testing::EndsWith("ca_authn_test"));
  auto start = table.StartTime(getpid());
  ASSERT_TRUE(start.ok()) << start.status();
  auto parent = table.StartTime(getppid());
  ASSERT_TRUE(parent.ok()) << parent.status();
  EXPECT_GT(*parent, 0u);
  EXPECT_GE(*start, *parent) << "a child begins after its parent";
}

TEST(ProcessTable, KnowsTheProgramsBytesAlthoughItsFileIsGone) {
  const std::string copy = absl::StrCat(testing::TempDir(), "/sleeper-", getpid());
  std::filesystem::copy_file("/bin/sleep", copy, std::filesystem::copy_options::overwrite_existing);
  const std::string expected = HexLower(Sha256(ReadFile(copy, 1 << 24, FileSecrecy::kPublic).value()));
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    execl(copy.c_str(), copy.c_str(), "60", nullptr);
    _exit(1);
  }
  ASSERT_GT(child, 0);
  close(ready[1]);
  char byte;
  EXPECT_EQ(read(ready[0], &byte, 1), 0) << "the pipe ends when the program has begun";
  close(ready[0]);
  ASSERT_TRUE(std::filesystem::remove(copy));
  EXPECT_EQ(SystemProcessTable().ExecutableSha256(child).value(), expected);
  EXPECT_TRUE(absl::IsNotFound(SystemProcessTable().Executable(child).status()));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(ProcessTable, KnowsTheGroupsOfThisProcess) {
  std::vector<gid_t> groups(static_cast<size_t>(getgroups(0, nullptr)));
  ASSERT_EQ(getgroups(static_cast<int>(groups.size()), groups.data()), static_cast<int>(groups.size()));
  EXPECT_THAT(SystemProcessTable().SupplementaryGroups(getpid()).value(), testing::UnorderedElementsAreArray(groups));
  EXPECT_TRUE(SystemProcessTable().SystemdUnit(getpid()).ok());
}

struct UnitCase {
  const char* name;
  const char* text;
  const char* unit;
};
class ControlGroups : public testing::TestWithParam<UnitCase> {};

TEST_P(ControlGroups, NameTheUnitThatTheSystemStarted) {
  EXPECT_EQ(UnitOfControlGroups(GetParam().text), GetParam().unit);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, ControlGroups,
    testing::Values(UnitCase{"Service", "0::/system.slice/web.service\n", "web.service"},
                    UnitCase{"BelowAService", "0::/system.slice/web.service/sub/evil.service\n", "web.service"},
                    UnitCase{"AUsersOwnUnit",
                             "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n",
                             "user@1000.service"},
                    UnitCase{"Session", "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"},
                    UnitCase{"Template", "0::/system.slice/system-web.slice/web@1.service\n", "web@1.service"},
                    UnitCase{"Escaped", "0::/system.slice/_cpu.service\n", "cpu.service"},
                    UnitCase{"NamedHierarchy",
                             "12:pids:/a\n1:name=systemd:/system.slice/web.service\n0::/other.service\n",
                             "web.service"},
                    UnitCase{"Root", "0::/\n", ""}, UnitCase{"NoUnit", "0::/system.slice/plain/web.service\n", ""},
                    UnitCase{"OutsideOfTheNamespace", "0::/../system.slice/web.service\n", ""},
                    UnitCase{"ColonInAName", "0::/system.slice/a:b.service\n", "a:b.service"},
                    UnitCase{"Empty", "", ""}, UnitCase{"BareType", "0::/system.slice/.service\n", ""}),
    [](const auto& info) { return info.param.name; });

TEST(HostNames, RemembersForAWhileAndNotFailures) {
  FakeNames service;
  FakeClock clock;
  HostNames names(service, clock);
  EXPECT_FALSE(names.FindUser(1000).has_value());
  EXPECT_EQ(names.LookUpUser(1000).value(), "web");
  service.users[1000] = "other";
  EXPECT_EQ(names.FindUser(1000)->value(), "web");
  clock.Advance(HostNames::kFreshFor);
  EXPECT_FALSE(names.FindUser(1000).has_value());
  EXPECT_EQ(names.LookUpUser(1000).value(), "other");
  service.error = absl::UnavailableError("away");
  EXPECT_EQ(names.LookUpGroup(100).status().code(), Code::kUnavailable);
  EXPECT_FALSE(names.FindGroup(100).has_value()) << "asked again next time";
  service.error = absl::OkStatus();
  EXPECT_EQ(names.LookUpGroup(7).status().code(), Code::kNotFound);
  EXPECT_TRUE(names.FindGroup(7).has_value()) << "that there is none is an answer";
}

TEST(HostNames, AreThisHosts) {
  EXPECT_EQ(SystemNameService().UserName(0).value(), "root");
  EXPECT_EQ(SystemNameService().GroupName(0).value(), "root");
  EXPECT_EQ(SystemNameService().UserName(4000000000).status().code(), Code::kNotFound);
}

TEST(ProcessTable, AnEndedProcessIsNotFound) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_GT(child, 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(absl::IsNotFound(SystemProcessTable().StartTime(child).status()));
  EXPECT_TRUE(absl::IsNotFound(SystemProcessTable().Executable(child).status()));
}

struct SelectorCase {
  const char* name;
  std::string text;
  const char* words;
};
class SelectorReject : public testing::TestWithParam<SelectorCase> {};

TEST_P(SelectorReject, NamesTheRuleBroken) {
  EXPECT_THAT(Selector::Parse(GetParam().text), Refuses(Code::kInvalidArgument, "SELECTOR_INVALID", GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(Forms, SelectorReject,
                         testing::Values(SelectorCase{"Empty", "", "expects unix:uid:N"},
                                         SelectorCase{"OtherKind", "k8s:ns:default", "unix:sha256:HEX"},
                                         SelectorCase{"NoNumber", "unix:uid:", "a number from 0"},
                                         SelectorCase{"Name", "unix:uid:root", "a number from 0"},
                                         SelectorCase{"Plus", "unix:uid:+5", "a number from 0"},
                                         SelectorCase{"LeadingZero", "unix:uid:010", "a number from 0"},
                                         SelectorCase{"TooLarge", "unix:gid:4294967296", "a number from 0"},
                                         SelectorCase{"Negative", "unix:gid:-1", "a number from 0"},
                                         SelectorCase{"RelativePath", "unix:path:usr/bin/envoy", "not absolute"},
                                         SelectorCase{"DotDot", "unix:path:/usr/../bin/envoy", "dot segment"},
                                         SelectorCase{"LastDot", "unix:path:/usr/.", "dot segment"},
                                         SelectorCase{"DoubleSlash", "unix:path:/usr//bin", "two slashes"},
                                         SelectorCase{"Folder", "unix:path:/usr/bin/", "ends in a slash"},
                                         SelectorCase{"Nul", std::string("unix:path:/a\0b", 14), "NUL"},
                                         SelectorCase{"TooLong", "unix:path:/" + std::string(4095, 'x'), "4095"},
                                         SelectorCase{"NoName", "unix:user:", "a name of 1-256 bytes"},
                                         SelectorCase{"NumberAsName", "unix:user:1000", "unix:uid:N"},
                                         SelectorCase{"NameWithColon", "unix:group:a:b", "no name of a user"},
                                         SelectorCase{"ShortDigest", "unix:sha256:abcd", "64 lower-case hex"},
                                         SelectorCase{"UpperCaseDigest", "unix:sha256:" + std::string(64, 'A'),
                                                      "64 lower-case hex"},
                                         SelectorCase{"UnitWithoutType", "systemd:unit:web", "whole name of a unit"},
                                         SelectorCase{"Slice", "systemd:unit:user.slice", "whole name of a unit"},
                                         SelectorCase{"UnitWithSlash", "systemd:unit:a/b.service", "letters, digits"}),
                         [](const auto& info) { return info.param.name; });

TEST(Selectors, AreSortedAndUnique) {
  auto normal = NormaliseSelectors({"unix:uid:5", "unix:path:/b", "unix:uid:5", "unix:gid:0"});
  ASSERT_TRUE(normal.ok()) << normal.status();
  EXPECT_THAT(*normal, ElementsAre("unix:gid:0", "unix:path:/b", "unix:uid:5"));
  EXPECT_THAT(NormaliseSelectors({}), Refuses(Code::kInvalidArgument, "SELECTOR_INVALID", "fit everybody"));
  EXPECT_THAT(NormaliseSelectors(std::vector<std::string>(17, "unix:uid:5")),
              Refuses(Code::kInvalidArgument, "SELECTOR_INVALID", "the most is 16"));
}

}  // namespace
}  // namespace meshca
