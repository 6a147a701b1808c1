#include "ca/service/claimed_clusters.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(ClaimedClusters, RecordsANameAsItIs) {
  ClaimedClusters clusters;
  EXPECT_EQ(clusters.ToRecord("Kubernetes"), "Kubernetes");
  EXPECT_EQ(clusters.ToRecord("arn/eu-west-1_shop.example"), "arn/eu-west-1_shop.example");
  EXPECT_EQ(clusters.ToRecord(""), "");
}

TEST(ClaimedClusters, RecordsNoNameThatIsNone) {
  ClaimedClusters clusters;
  for (const char* claimed : {"a b", "a\"b", "a\nb", "clust\xc3\xa9r", "sub=admin"}) {
    EXPECT_EQ(clusters.ToRecord(claimed), "other") << claimed;
  }
  EXPECT_EQ(clusters.ToRecord(std::string(ClaimedClusters::kBytesMax, 'a')).size(), ClaimedClusters::kBytesMax);
  EXPECT_EQ(clusters.ToRecord(std::string(ClaimedClusters::kBytesMax + 1, 'a')), "other");
}

TEST(ClaimedClusters, AStrangerWithManyNamesAddsFew) {
  ClaimedClusters clusters;
  for (size_t i = 0; i < ClaimedClusters::kMax; ++i) {
    EXPECT_EQ(clusters.ToRecord(absl::StrCat("c", i)), absl::StrCat("c", i));
  }
  EXPECT_EQ(clusters.ToRecord("one-more"), "other");
  EXPECT_EQ(clusters.ToRecord("c3"), "c3") << "those that were seen keep their name";
}

}  // namespace
}  // namespace meshca
