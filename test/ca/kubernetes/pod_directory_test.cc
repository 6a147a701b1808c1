#include "ca/kubernetes/pod_directory.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ca/kubernetes/compact_uid.h"
#include "ca/kubernetes/gone_uids.h"
#include "ca/kubernetes/name_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/told_pods.h"

namespace meshca::kubernetes {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

const absl::Time kPodsNow = absl::FromUnixSeconds(1767323045);

PickedFields ToldAccount(int number, const std::string& namespace_name, const std::string& name) {
  PickedFields fields(PodDirectory::AccountPaths().size());
  fields.Add(0, "", UidOf(number));
  fields.Add(1, "", namespace_name);
  fields.Add(2, "", name);
  return fields;
}

TEST(CompactUid, HasOneSpelling) {
  const std::string text = "0b5d2b6e-9c1f-4e55-8a3d-00000000ff10";
  ASSERT_TRUE(CompactUid::Parse(text).has_value());
  EXPECT_EQ(CompactUid::Parse(text)->Text(), text);
  for (const char* bad : {"", "0B5d2b6e-9c1f-4e55-8a3d-00000000ff10", "0b5d2b6e09c1f-4e55-8a3d-00000000ff10",
                          "0b5d2b6e-9c1f-4e55-8a3d-00000000ff1", "0b5d2b6e-9c1f-4e55-8a3d-00000000ff100",
                          "0b5d2b6e-9c1f-4e55-8a3d-00000000ff1g", "0b5d2b6-e9c1f-4e55-8a3d-00000000ff10"}) {
    EXPECT_FALSE(CompactUid::Parse(bad).has_value()) << bad;
  }
}

TEST(GoneUids, AreBoundedAndTheOldestIsForgotten) {
  GoneUids gone(2);
  const auto uid = [](int number) { return *CompactUid::Parse(UidOf(number)); };
  gone.Add(uid(1));
  gone.Add(uid(2));
  gone.Add(uid(2));
  EXPECT_TRUE(gone.Contains(uid(1)));
  gone.Add(uid(3));
  EXPECT_FALSE(gone.Contains(uid(1)));
  EXPECT_TRUE(gone.Contains(uid(2)));
  gone.Add(uid(4));
  EXPECT_FALSE(gone.Contains(uid(2)));
  EXPECT_TRUE(gone.Contains(uid(3)));
  gone.Remove(uid(3));
  EXPECT_FALSE(gone.Contains(uid(3)));
}

TEST(NameTable, KeepsANameWhileAnybodyHasIt) {
  NameTable names;
  const NameTable::Number a = names.Take("a");
  EXPECT_EQ(names.Take("a"), a);
  const NameTable::Number b = names.Take("b");
  EXPECT_EQ(names.Text(a), "a");
  names.Drop(a);
  EXPECT_EQ(names.Find("a"), a);
  names.Drop(a);
  EXPECT_EQ(names.Find("a"), NameTable::kNone);
  EXPECT_EQ(names.Take("c"), a) << "numbers are used again";
  EXPECT_EQ(names.Text(b), "b");
  EXPECT_EQ(names.Take(""), NameTable::kNone);
  names.Drop(NameTable::kNone);
  EXPECT_EQ(names.Text(NameTable::kNone), "");
}

TEST(PodDirectory, KnowsWhatItIsToldOfAPod) {
  PodDirectory directory({"app"});
  ObjectSink& pods = directory.pods();
  pods.OnObject(ToldPod{.labels = {{"app", "front"}, {"pod-template-hash", "7d4c"}}}.Fields());
  const std::optional<KnownPod> pod = directory.FindPod(UidOf(1));
  ASSERT_TRUE(pod.has_value());
  EXPECT_EQ(pod->name, "front-1");
  EXPECT_EQ(pod->account.Text(), "web/front");
  EXPECT_EQ(pod->node, "node-1");
  EXPECT_FALSE(pod->ended);
  EXPECT_EQ(pod->deleted_at, absl::InfiniteFuture());
  EXPECT_THAT(directory.LabelsOf(UidOf(1)), ElementsAre(Pair("app", "front")));
  EXPECT_FALSE(directory.FindPod(UidOf(2)).has_value());
  EXPECT_FALSE(directory.FindPod("no uid").has_value());

  const uint64_t changes = directory.Changes();
  pods.OnObject(ToldPod{.phase = "Failed", .deleted = "2026-01-02T03:04:05Z"}.Fields());
  EXPECT_NE(directory.Changes(), changes);
  EXPECT_TRUE(directory.FindPod(UidOf(1))->ended);
  EXPECT_EQ(directory.FindPod(UidOf(1))->deleted_at, kPodsNow);
  EXPECT_THAT(directory.LabelsOf(UidOf(1)), IsEmpty());
  EXPECT_EQ(directory.pod_count(), 1u);

  EXPECT_FALSE(directory.IsGone(UidOf(1)));
  pods.OnGone(ToldPod().Fields());
  EXPECT_FALSE(directory.FindPod(UidOf(1)).has_value());
  EXPECT_TRUE(directory.IsGone(UidOf(1)));
  EXPECT_EQ(directory.pod_count(), 0u);
}

// What tokens are judged by, without a copy.
TEST(PodDirectory, ALookShowsWhatACopyHas) {
  PodDirectory directory;
  directory.pods().OnObject(ToldPod{.deleted = "2026-01-02T03:04:05Z"}.Fields());
  directory.pods().OnObject(ToldPod{.number = 2, .node = "", .phase = "Succeeded"}.Fields());
  directory.pods().OnObject(ToldPod{.number = 3, .account = ""}.Fields());
  for (int number = 1; number <= 3; ++number) {
    const KnownPod pod = directory.FindPod(UidOf(number)).value();
    int looks = 0;
    EXPECT_TRUE(directory.LookAt(UidOf(number), [&](const PodView& seen) {
      ++looks;
      EXPECT_EQ(seen.name, pod.name);
      EXPECT_EQ(seen.namespace_name, pod.account.namespace_name);
      EXPECT_EQ(seen.account, pod.account.account);
      EXPECT_EQ(seen.node, pod.node);
      EXPECT_EQ(seen.ended, pod.ended);
      EXPECT_EQ(seen.deleted_at, pod.deleted_at);
    }));
    EXPECT_EQ(looks, 1);
  }
  for (const std::string& uid : {UidOf(4), std::string("no uid"), std::string()}) {
    EXPECT_FALSE(directory.LookAt(uid, [](const PodView&) { FAIL() << "there is none"; })) << uid;
  }

  directory.accounts().OnObject(ToldAccount(7, "web", "front"));
  EXPECT_TRUE(directory.IsAccountUid({"web", "front"}, UidOf(7)));
  for (const std::string& uid : {UidOf(8), std::string("no uid"), std::string()}) {
    EXPECT_FALSE(directory.IsAccountUid({"web", "front"}, uid)) << uid;
  }
  EXPECT_FALSE(directory.IsAccountUid({"web", "back"}, UidOf(7)));
}

TEST(PodDirectory, FindsPodsByAccountOrLabelAndKeepsALabelOfOneValueAlone) {
  PodDirectory directory({"version", "app=istiod"});
  ObjectSink& pods = directory.pods();
  for (int i = 10; i < 3'000; ++i) pods.OnObject(ToldPod{.number = i, .labels = {{"app", "front"}}}.Fields());
  pods.OnObject(ToldPod{.number = 1,
                        .name = "istiod-1",
                        .account = "istiod",
                        .labels = {{"app", "istiod"}, {"version", "1.31"}},
                        .created = "2026-01-02T03:04:05Z"}
                    .Fields());
  pods.OnObject(ToldPod{.number = 2, .name = "ztunnel-1", .account = "ztunnel"}.Fields());
  EXPECT_THAT(directory.LabelsOf(UidOf(10)), IsEmpty());
  std::vector<FoundPod> found = directory.Find({{{"web", "ztunnel"}, {"web", "nobody"}}, {{"app", "istiod"}}});
  ASSERT_EQ(found.size(), 2u);
  if (found[0].pod.name != "istiod-1") std::swap(found[0], found[1]);
  EXPECT_EQ(found[0].pod.created, kPodsNow);
  EXPECT_THAT(found[0].labels, UnorderedElementsAre(Pair("app", "istiod"), Pair("version", "1.31")));
  EXPECT_EQ(found[1].pod.name, "ztunnel-1");
  EXPECT_EQ(found[1].pod.created, absl::InfinitePast()) << "nobody told";
  EXPECT_THAT(directory.Find({}), IsEmpty());
}

TEST(PodDirectory, KnowsWhoLivesOnANode) {
  PodDirectory directory;
  ObjectSink& pods = directory.pods();
  pods.OnObject(ToldPod{.number = 1, .node = ""}.Fields());
  EXPECT_THAT(directory.AccountsOn("node-1", kPodsNow), IsEmpty());
  EXPECT_THAT(directory.AccountsOn("", kPodsNow), IsEmpty()) << "what is on no node is not together";
  pods.OnObject(ToldPod{.number = 1}.Fields());
  pods.OnObject(ToldPod{.number = 2}.Fields());
  pods.OnObject(ToldPod{.number = 3, .account = "back"}.Fields());
  pods.OnObject(ToldPod{.number = 4, .account = "job", .phase = "Succeeded"}.Fields());
  pods.OnObject(ToldPod{.number = 5, .account = "lost", .deleted = "2026-01-02T03:03:05Z"}.Fields());
  pods.OnObject(ToldPod{.number = 6, .account = "far", .node = "node-2"}.Fields());
  const AccountName front{"web", "front"};
  const AccountName back{"web", "back"};
  EXPECT_THAT(directory.AccountsOn("node-1", kPodsNow), UnorderedElementsAre(front, back));
  pods.OnGone(ToldPod{.number = 2}.Fields());
  EXPECT_THAT(directory.AccountsOn("node-1", kPodsNow), UnorderedElementsAre(front, back));
  pods.OnGone(ToldPod{.number = 1}.Fields());
  EXPECT_THAT(directory.AccountsOn("node-1", kPodsNow), UnorderedElementsAre(back));
  pods.OnObject(ToldPod{.number = 3, .account = "back", .phase = "Failed"}.Fields());
  EXPECT_THAT(directory.AccountsOn("node-1", kPodsNow), IsEmpty());
  EXPECT_THAT(directory.AccountsOn("node-2", kPodsNow), ElementsAre(AccountName{"web", "far"}));
}

TEST(PodDirectory, WhatAListDoesNotHaveIsGone) {
  PodDirectory directory;
  ObjectSink& pods = directory.pods();
  pods.OnListBegin();
  for (int i = 0; i < 5'000; ++i) pods.OnObject(ToldPod{.number = i}.Fields());
  pods.OnListEnd();
  EXPECT_EQ(directory.pod_count(), 5'000u);
  // A list that fails removes nothing, and what it told counts for nothing in the next one.
  pods.OnListBegin();
  pods.OnObject(ToldPod{.number = 1}.Fields());
  EXPECT_EQ(directory.pod_count(), 5'000u);
  pods.OnListBegin();
  for (int i = 0; i < 5'000; i += 2) pods.OnObject(ToldPod{.number = i}.Fields());
  pods.OnListEnd();
  EXPECT_EQ(directory.pod_count(), 2'500u);
  EXPECT_TRUE(directory.FindPod(UidOf(4'998)).has_value());
  EXPECT_FALSE(directory.FindPod(UidOf(1)).has_value());
  EXPECT_TRUE(directory.IsGone(UidOf(1)));
  EXPECT_FALSE(directory.IsGone(UidOf(2)));
  EXPECT_THAT(directory.AccountsOn("node-1", kPodsNow), ElementsAre(AccountName{"web", "front"}));
}

TEST(PodDirectory, AnAccountMadeAnewIsAnotherOne) {
  PodDirectory directory;
  ObjectSink& accounts = directory.accounts();
  const AccountName front{"web", "front"};
  EXPECT_EQ(directory.AccountUid(front), "");
  accounts.OnListBegin();
  accounts.OnObject(ToldAccount(1, "web", "front"));
  accounts.OnObject(ToldAccount(2, "web", "back"));
  accounts.OnListEnd();
  EXPECT_EQ(directory.AccountUid(front), UidOf(1));
  accounts.OnObject(ToldAccount(3, "web", "front"));
  EXPECT_EQ(directory.AccountUid(front), UidOf(3));
  EXPECT_TRUE(directory.IsGone(UidOf(1)));
  accounts.OnGone(ToldAccount(1, "web", "front"));  // late
  EXPECT_EQ(directory.AccountUid(front), UidOf(3));
  accounts.OnGone(ToldAccount(3, "web", "front"));
  EXPECT_EQ(directory.AccountUid(front), "");
  EXPECT_TRUE(directory.IsGone(UidOf(3)));
  accounts.OnListBegin();
  accounts.OnListEnd();
  EXPECT_EQ(directory.AccountUid({"web", "back"}), "");
  EXPECT_TRUE(directory.IsGone(UidOf(2)));
}

TEST(GoneUids, GoAgainInANewTurn) {
  GoneUids gone(3);
  const auto uid = [](int number) { return CompactUid::Parse(UidOf(number)).value(); };
  gone.Add(uid(1));
  gone.Add(uid(2));
  gone.Remove(uid(1));
  EXPECT_FALSE(gone.Contains(uid(1)));
  gone.Add(uid(1));
  // The first place, where it stood before, is taken by the third: it is the second that went longest ago.
  gone.Add(uid(3));
  EXPECT_TRUE(gone.Contains(uid(1)));
  EXPECT_TRUE(gone.Contains(uid(2)));
  EXPECT_TRUE(gone.Contains(uid(3)));
  gone.Add(uid(4));
  EXPECT_TRUE(gone.Contains(uid(1)));
  EXPECT_FALSE(gone.Contains(uid(2)));
}

TEST(PodDirectory, IsAskedWhileItIsTold) {
  PodDirectory directory;
  std::atomic<bool> ends = false;
  std::thread asks([&] {
    while (!ends) {
      for (int i = 0; i < 50; ++i) {
        directory.FindPod(UidOf(i));
        directory.IsGone(UidOf(i));
      }
      directory.AccountsOn("node-1", kPodsNow);
    }
  });
  for (int round = 0; round < 20; ++round) {
    directory.pods().OnListBegin();
    for (int i = round; i < 50; ++i) directory.pods().OnObject(ToldPod{.number = i}.Fields());
    directory.pods().OnListEnd();
  }
  ends = true;
  asks.join();
  EXPECT_EQ(directory.pod_count(), 31u);
}

}  // namespace
}  // namespace meshca::kubernetes
