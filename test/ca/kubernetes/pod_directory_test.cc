#include "ca/kubernetes/pod_directory.h"

#include <malloc.h>

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

namespace meshca::kubernetes {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

const absl::Time kPodsNow = absl::FromUnixSeconds(1767323045);

std::string UidOf(int number) { return absl::StrFormat("0b5d2b6e-9c1f-4e55-8a3d-%012x", number); }

struct ToldPod {
  int number = 1;
  std::string namespace_name = "web";
  std::string name = "front-1";
  std::string account = "front";
  std::string node = "node-1";
  std::string phase = "Running";
  std::string deleted = {};
  std::vector<std::pair<std::string, std::string>> labels = {};

  PickedFields Fields() const {
    PickedFields fields(PodDirectory::PodPaths().size());
    const std::string texts[] = {UidOf(number), namespace_name, name, account, node, phase, deleted};
    for (size_t i = 0; i < std::size(texts); ++i) {
      if (!texts[i].empty()) fields.Add(i, "", texts[i]);
    }
    for (const auto& [key, value] : labels) fields.Add(7, key, value);
    return fields;
  }
};

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

size_t BytesAllocated() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(PodDirectory, KeepsAPodInTwoHundredAndFiftyBytes) {
  constexpr int kPods = 100'000;
  const size_t before = BytesAllocated();
  if (before == 0) GTEST_SKIP() << "this allocator does not count";
  PodDirectory directory({"app", "version"});
  const auto tell_all = [&directory] {
    directory.pods().OnListBegin();
    for (int i = 0; i < kPods; ++i) {
      ToldPod pod;
      pod.number = i;
      pod.namespace_name = absl::StrCat("namespace-", i % 500);
      pod.account = absl::StrCat("service-account-", i % 2'500);
      pod.name = absl::StrFormat("deployment-name-%06d-7d4c9b6f58-x2x9pq", i);
      pod.node = absl::StrCat("ip-10-0-", i % 2'000, ".eu-central-1.compute.internal");
      pod.labels = {{"app", absl::StrCat("deployment-", i % 5'000)}, {"version", "v1"}, {"other", "not kept"}};
      directory.pods().OnObject(pod.Fields());
    }
    directory.pods().OnListEnd();
  };
  tell_all();
  const size_t once = BytesAllocated() - before;
  tell_all();
  const size_t twice = BytesAllocated() - before;
  EXPECT_EQ(directory.pod_count(), static_cast<size_t>(kPods));
  EXPECT_EQ(directory.FindPod(UidOf(77))->name.size(), 40u);
  EXPECT_LE(once / kPods, 250u);
  EXPECT_LE(twice / kPods, 250u) << "a second list takes no more";
  RecordProperty("bytes_per_pod", std::to_string(twice / kPods));
}

}  // namespace
}  // namespace meshca::kubernetes
