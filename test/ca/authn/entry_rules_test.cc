#include "ca/authn/entry_rules.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authn/overflow_ids.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/spiffe/test_domain.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RegistrationEntry WebEntry(std::vector<std::string> selectors) {
  RegistrationEntry entry;
  entry.spiffe_id = SpiffeId::FromParts(TestDomain(), "/ns/default/sa/web").value();
  entry.selectors = std::move(selectors);
  return entry;
}

TEST(EntryRules, AnEntryIsBroughtIntoItsOneForm) {
  RegistrationEntry entry = WebEntry({"unix:uid:1000", "unix:gid:8", "unix:uid:1000"});
  entry.dns_names = {"Web.Default.SVC"};
  ASSERT_TRUE(CompleteEntry(TestDomain(), entry).ok());
  EXPECT_THAT(entry.selectors, ElementsAre("unix:gid:8", "unix:uid:1000"));
  EXPECT_THAT(entry.dns_names, ElementsAre("web.default.svc"));
}

TEST(EntryRules, TheSameEntryGetsTheSameIdWhateverTheOrderOfItsSelectors) {
  RegistrationEntry one = WebEntry({"unix:uid:1000", "unix:gid:8"});
  RegistrationEntry same = WebEntry({"unix:gid:8", "unix:uid:1000"});
  RegistrationEntry other = WebEntry({"unix:uid:1001", "unix:gid:8"});
  for (RegistrationEntry* entry : {&one, &same, &other}) ASSERT_TRUE(CompleteEntry(TestDomain(), *entry).ok());
  EXPECT_EQ(one.id, same.id);
  EXPECT_NE(one.id, other.id);
  RegistrationEntry named = WebEntry({"unix:uid:1000"});
  named.id = "web";
  ASSERT_TRUE(CompleteEntry(TestDomain(), named).ok());
  EXPECT_EQ(named.id, "web");
}

TEST(EntryRules, NodesAreSortedAndMakeAnotherEntry) {
  RegistrationEntry socket = WebEntry({"unix:uid:1000"});
  RegistrationEntry nodes = socket;
  nodes.nodes = {"web-*", "db-1", "web-*"};
  nodes.hint = "public \xc3\xa9";
  nodes.jwt_ttl = absl::Minutes(5);
  for (RegistrationEntry* entry : {&socket, &nodes}) ASSERT_TRUE(CompleteEntry(TestDomain(), *entry).ok());
  EXPECT_THAT(nodes.nodes, ElementsAre("db-1", "web-*"));
  EXPECT_NE(nodes.id, socket.id) << "both may stand side by side";
}

TEST(EntryRules, WhatIsSaidOfNodesHintAndTokensIsBounded) {
  struct Case {
    const char* reason;
    std::function<void(RegistrationEntry&)> change;
  };
  const Case cases[] = {
      {"NODE_GLOB",
       [](RegistrationEntry& entry) {
         entry.nodes = {"web-1", "Web"};
       }},
      {"NODE_GLOB", [](RegistrationEntry& entry) { entry.nodes = {""}; }},
      {"ENTRY_NODES",
       [](RegistrationEntry& entry) {
         for (size_t i = 0; i <= kEntryNodesMax; ++i) entry.nodes.push_back(absl::StrCat("n", i));
       }},
      {"ENTRY_HINT", [](RegistrationEntry& entry) { entry.hint = std::string(kEntryHintBytesMax + 1, 'h'); }},
      {"ENTRY_HINT", [](RegistrationEntry& entry) { entry.hint = "two\nlines"; }},
      {"ENTRY_HINT", [](RegistrationEntry& entry) { entry.hint = "\xff"; }},
      {"JWT_TTL", [](RegistrationEntry& entry) { entry.jwt_ttl = -absl::Seconds(1); }},
      {"JWT_TTL", [](RegistrationEntry& entry) { entry.jwt_ttl = kJwtTtlMax + absl::Seconds(1); }},
      {"SPIFFE_ID_INVALID",
       [](RegistrationEntry& entry) {
         entry.spiffe_id = SpiffeId::FromParts(TestDomain(), "/meshca/agent/web-1").value();
       }},
  };
  for (const Case& c : cases) {
    RegistrationEntry entry = WebEntry({"unix:uid:1000"});
    c.change(entry);
    EXPECT_THAT(CompleteEntry(TestDomain(), entry), Refuses(absl::StatusCode::kInvalidArgument, c.reason, ""));
  }
}

TEST(EntryRules, ASelectorThatFitsNobodyIsRefusedAndFoundInAnOlderEntry) {
  const std::string nobody = absl::StrCat("unix:uid:", OverflowIds::OfKernel().uid);
  RegistrationEntry entry = WebEntry({nobody});
  EXPECT_THAT(WhyFitsNobody(entry), HasSubstr(nobody));
  EXPECT_THAT(CompleteEntry(TestDomain(), entry),
              Refuses(absl::StatusCode::kInvalidArgument, "SELECTOR_NOBODY", nobody));
  EXPECT_EQ(WhyFitsNobody(WebEntry({"unix:uid:1000"})), "");
}

}  // namespace
}  // namespace meshca
