#include "ca/server_secrets/server_secret.h"

#include <gmock/gmock.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

SecretContent ContentOf(const std::string& chain, const std::string& key, const std::string& roots) {
  return {chain, SecretBytes::CopyOf(key), roots};
}

TEST(ServerSecret, IsWrittenAsWhoReadsTlsSecretsExpectsIt) {
  const kubernetes::ApiCall call =
      CallToWriteServerSecret({"istio-system", "istiod-tls"}, "", ContentOf("chain\n", "key\n", "roots\n"));
  EXPECT_EQ(call.Text(), "patch secrets istiod-tls in namespace istio-system");
  EXPECT_EQ(call.query, "fieldManager=meshca&force=true");
  EXPECT_TRUE(call.body_is_secret);
  EXPECT_EQ(call.body,
            R"({"apiVersion":"v1","kind":"Secret","metadata":{"labels":{"app.kubernetes.io/managed-by":"meshca"},)"
            R"("name":"istiod-tls","namespace":"istio-system"},"type":"kubernetes.io/tls","data":{)"
            R"("tls.crt":"Y2hhaW4K","tls.key":"a2V5Cg==","ca.crt":"cm9vdHMK"}})");
  EXPECT_EQ(call.RbacRule(),
            R"({apiGroups: [""], resources: [secrets], resourceNames: ["istiod-tls"], verbs: [create, patch]})");
}

TEST(ServerSecret, OneThatWasMadeAgainSaysSinceWhenOneHasBeenThere) {
  const absl::Time since = absl::FromUnixSeconds(1767323045);
  const auto written = [](absl::Time there_since, const std::string& created) {
    std::string body = CallToWriteServerSecret({"a", "b"}, "", ContentOf("c", "k", "r"), there_since).body;
    body.insert(body.find(R"("labels")"), absl::StrCat(R"("creationTimestamp":")", created, R"(",)"));
    return ReadServerSecret(*kubernetes::PickFields(body, ServerSecretPaths())).there_since;
  };
  EXPECT_EQ(written(since, "2026-02-01T00:00:00Z"), since);
  EXPECT_EQ(written(absl::InfinitePast(), "2026-01-02T03:04:05Z"), since) << "the object's own time";
  EXPECT_EQ(written(since + absl::Hours(1), "2026-01-02T03:04:05Z"), since) << "no later than that";
}

TEST(ServerSecret, OfAnotherTypeKeepsIt) {
  EXPECT_THAT(CallToWriteServerSecret({"a", "b"}, "Opaque", ContentOf("c", "k", "r")).body,
              HasSubstr(R"("type":"Opaque")"));
}

TEST(ServerSecret, IsReadAsItWasWritten) {
  const kubernetes::ApiCall call = CallToWriteServerSecret({"a", "b"}, "", ContentOf("chain", "key", "roots"));
  const SeenSecret seen = ReadServerSecret(*kubernetes::PickFields(call.body, ServerSecretPaths()));
  EXPECT_EQ(seen.content.chain_pem, "chain");
  EXPECT_EQ(seen.content.key_pem.reveal(), "key");
  EXPECT_EQ(seen.content.roots_pem, "roots");
  EXPECT_EQ(seen.type, "kubernetes.io/tls");
  EXPECT_FALSE(seen.immutable);
  EXPECT_EQ(seen.content.Digest(), ContentOf("chain", "key", "roots").Digest());
}

TEST(ServerSecret, OfStrangersIsReadAsFarAsItGoes) {
  const SeenSecret seen = ReadServerSecret(*kubernetes::PickFields(
      R"({"metadata":{"creationTimestamp":"2026-01-02T03:04:05Z"},"immutable":true,"data":{"tls.crt":"no base64!"}})",
      ServerSecretPaths()));
  EXPECT_EQ(seen.content.chain_pem, "");
  EXPECT_TRUE(seen.content.key_pem.empty());
  EXPECT_TRUE(seen.immutable);
  EXPECT_EQ(seen.created, absl::FromUnixSeconds(1767323045));
  EXPECT_EQ(ReadServerSecret(*kubernetes::PickFields("{}", ServerSecretPaths())).created, absl::InfinitePast());
}

TEST(ServerSecret, DigestTellsOnePartFromTheNext) {
  EXPECT_NE(ContentOf("ab", "c", "").Digest(), ContentOf("a", "bc", "").Digest());
  EXPECT_NE(ContentOf("a", "", "b").Digest(), ContentOf("a", "b", "").Digest());
}

}  // namespace
}  // namespace meshca
