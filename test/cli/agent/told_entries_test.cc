// The entries of a node: put together from messages, served whole or not at all.
#include "cli/agent/told_entries.h"

#include <gmock/gmock.h>

#include "ca/authn/unix_peer.h"
#include "test/fakes/agent_authority.h"
#include "test/fakes/status_matchers.h"

namespace meshca::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::EntriesChange Change(uint64_t revision, bool whole, bool complete, const std::vector<v1::NodeEntry>& put,
                         const std::vector<std::string>& deleted = {}) {
  v1::EntriesChange change;
  change.set_revision(revision);
  change.set_whole(whole);
  change.set_complete(complete);
  for (const v1::NodeEntry& entry : put) *change.add_put() = entry;
  for (const std::string& id : deleted) change.add_deleted(id);
  return change;
}

class ToldEntriesTest : public testing::Test {
 protected:
  ToldEntriesTest() {
    entries_.AddListener([this] { ++changes_; });
  }
  absl::Status Apply(const v1::EntriesChange& change) { return entries_.Apply(change, domain_); }
  std::vector<std::string> Served() const {
    std::vector<std::string> ids;
    for (const RegistrationEntry& entry : cache_.Current()->entries()) ids.push_back(entry.id);
    return ids;
  }

  const TrustDomain domain_ = *TrustDomain::Parse("cluster.local");
  const v1::NodeEntry web_ = Entry("b-web", "spiffe://cluster.local/web", {"unix:uid:1000"});
  const v1::NodeEntry db_ = Entry("a-db", "spiffe://cluster.local/db", {"unix:uid:1001"});
  const v1::NodeEntry log_ = Entry("c-log", "spiffe://cluster.local/log", {"unix:uid:1002"});
  EntryCache cache_;
  ToldEntries entries_{cache_};
  int changes_ = 0;
};

TEST_F(ToldEntriesTest, ServesAListOnceItsLastMessageHasCome) {
  ASSERT_THAT(Apply(Change(7, true, true, {log_})), IsOk());
  ASSERT_THAT(Apply(Change(9, true, false, {web_})), IsOk());
  EXPECT_THAT(Served(), ElementsAre("c-log"));
  EXPECT_EQ(entries_.revision(), 7u);
  EXPECT_EQ(changes_, 1);
  ASSERT_THAT(Apply(Change(9, false, true, {db_})), IsOk());
  // In the order in which they were told, not in that of their ids.
  EXPECT_THAT(Served(), ElementsAre("b-web", "a-db"));
  EXPECT_EQ(entries_.revision(), 9u);
  EXPECT_EQ(entries_.size(), 2u);
  EXPECT_EQ(changes_, 2);
}

TEST_F(ToldEntriesTest, ChangesWhatChanged) {
  ASSERT_THAT(Apply(Change(1, true, true, {web_, db_})), IsOk());
  v1::NodeEntry web = web_;
  web.add_dns_names("WEB.test");
  web.mutable_ttl()->set_seconds(600);
  ASSERT_THAT(Apply(Change(2, false, true, {log_, web}, {"a-db", "unknown"})), IsOk());
  EXPECT_THAT(Served(), ElementsAre("b-web", "c-log"));
  const RegistrationEntry& served = cache_.Current()->entries().front();
  EXPECT_THAT(served.dns_names, ElementsAre("web.test"));
  EXPECT_EQ(served.ttl, absl::Minutes(10));
  // The same list told anew keeps its order.
  ASSERT_THAT(Apply(Change(3, true, true, {log_, web_})), IsOk());
  EXPECT_THAT(Served(), ElementsAre("b-web", "c-log"));
  ASSERT_THAT(Apply(Change(4, true, true, {})), IsOk());
  EXPECT_THAT(Served(), IsEmpty());
}

TEST_F(ToldEntriesTest, ForgetsAPartWhenItsConnectionEnds) {
  ASSERT_THAT(Apply(Change(1, true, true, {web_})), IsOk());
  ASSERT_THAT(Apply(Change(2, true, false, {db_})), IsOk());
  entries_.ForgetPart();
  EXPECT_THAT(Served(), ElementsAre("b-web"));
  EXPECT_EQ(entries_.revision(), 1u);
  ASSERT_THAT(Apply(Change(3, false, true, {log_})), IsOk());
  EXPECT_THAT(Served(), ElementsAre("b-web", "c-log"));
}

TEST_F(ToldEntriesTest, RefusesAChangeOfNothing) {
  EXPECT_THAT(Apply(Change(2, false, true, {web_})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("never told whole")));
  ASSERT_THAT(Apply(Change(3, true, true, {web_})), IsOk());
  EXPECT_THAT(Apply(Change(4, false, true, {Entry("", "spiffe://cluster.local/x", {"unix:uid:1"})})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without an id")));
  // What was served still is; the CA is asked for all of it.
  EXPECT_THAT(Served(), ElementsAre("b-web"));
  EXPECT_EQ(entries_.revision(), 0u);
}

TEST_F(ToldEntriesTest, LeavesOutWhatFitsNobodyHere) {
  ASSERT_THAT(
      Apply(Change(1, true, true,
                   {Entry("1", "spiffe://other.test/web", {"unix:uid:1"}), Entry("2", "no ID", {"unix:uid:1"}),
                    Entry("3", "spiffe://cluster.local/x", {"k8s:ns:x"}), Entry("4", "spiffe://cluster.local/x", {}),
                    Entry("5", "spiffe://cluster.local/meshca/server", {"unix:uid:1"}), web_})),
      IsOk());
  EXPECT_THAT(Served(), ElementsAre("b-web"));
}

// The rights of a caller are those that it would have on the CA's own socket.
TEST_F(ToldEntriesTest, AddUpWhatSeveralEntriesGiveOneIdentity) {
  v1::NodeEntry one = web_, other = web_;
  one.add_dns_names("a.test");
  one.mutable_ttl()->set_seconds(3600);
  other.set_id("d-web");
  other.clear_selectors();
  other.add_selectors("unix:gid:100");
  other.add_dns_names("b.test");
  other.mutable_ttl()->set_seconds(600);
  ASSERT_THAT(Apply(Change(1, true, true, {one, db_, other})), IsOk());
  UnixPeerAuthenticator authenticator(domain_, cache_);
  const auto caller = authenticator.Judge({.uid = 1000, .gid = 100});
  ASSERT_THAT(caller, IsOk());
  const SpiffeId id = *SpiffeId::Parse("spiffe://cluster.local/web");
  EXPECT_THAT(caller->ids, ElementsAre(id));
  EXPECT_TRUE(caller->MayHaveDnsName(id, "a.test"));
  EXPECT_EQ(caller->OriginOf(id).reference, "b-web");
  EXPECT_THAT(authenticator.Judge({.uid = 4242, .gid = 4242}), StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace meshca::agent
