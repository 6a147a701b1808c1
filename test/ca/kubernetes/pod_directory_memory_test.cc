// What a cluster's pods take in memory.

#include <malloc.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ca/kubernetes/pod_directory.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/told_pods.h"

namespace meshca::kubernetes {
namespace {

size_t BytesAllocated() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(PodDirectory, KeepsAPodInTwoHundredAndFiftyBytes) {
  constexpr int kPods = 100'000;
  const size_t before = BytesAllocated();
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
