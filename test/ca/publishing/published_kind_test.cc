#include "ca/publishing/published_kind.h"

#include <gmock/gmock.h>

#include "ca/kubernetes/picked_fields.h"

namespace meshca {
namespace {

TEST(PublishedKind, AppliesAConfigMapThatTheWatchReadsBack) {
  const PublishedKind kind = RootsConfigMap("istio-ca-root-cert", "root-cert.pem");
  const kubernetes::ApiCall call = kind.CallToPublish("web", "one\ntwo\n");
  EXPECT_EQ(call.Text(), "patch configmaps istio-ca-root-cert in namespace web");
  const auto read = kubernetes::PickFields(call.body, {"metadata.namespace", kind.content_path, "metadata.name", "kind",
                                                       R"(metadata.labels.istio\.io/config)"});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Text(0), "web");
  EXPECT_EQ(read->Text(1), "one\ntwo\n");
  EXPECT_EQ(read->Text(2), "istio-ca-root-cert");
  EXPECT_EQ(read->Text(3), "ConfigMap");
  EXPECT_EQ(read->Text(4), "true");
}

TEST(PublishedKind, WhatIsAppliedHasTheLabelsThatAreLookedFor) {
  for (const PublishedKind& kind :
       {RootsConfigMap("roots", "root-cert.pem"), RootsClusterTrustBundle("a:b", "a/b", "v1")}) {
    ASSERT_FALSE(kind.labels.empty());
    const auto read = kubernetes::PickFields(kind.CallToPublish("", "pem").body, kind.LabelPaths());
    ASSERT_TRUE(read.ok()) << read.status();
    for (size_t i = 0; i < kind.labels.size(); ++i) EXPECT_EQ(read->Text(i), kind.labels[i].second);
  }
}

TEST(PublishedKind, AppliesAClusterTrustBundleInNoNamespace) {
  const PublishedKind kind = RootsClusterTrustBundle("istio.io:istiod-ca:root-cert", "istio.io/istiod-ca", "v1beta1");
  const kubernetes::ApiCall call = kind.CallToPublish("", "pem");
  EXPECT_EQ(call.Text(), "patch clustertrustbundles.certificates.k8s.io istio.io:istiod-ca:root-cert");
  const auto read =
      kubernetes::PickFields(call.body, {"metadata.namespace", kind.content_path, "spec.signerName", "apiVersion"});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Text(0), "");
  EXPECT_EQ(read->Text(1), "pem");
  EXPECT_EQ(read->Text(2), "istio.io/istiod-ca");
  EXPECT_EQ(read->Text(3), "certificates.k8s.io/v1beta1");
}

}  // namespace
}  // namespace meshca
