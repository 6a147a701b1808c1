// What a service account token of a known pod costs beside the arithmetic of its signature.
#include <time.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/service_account_authenticator.h"
#include "ca/x509/signing_key.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/fakes/awaited_counter.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

constexpr int kTokens = 2'000;
constexpr int kRounds = 5;

// Of all threads: the signatures are verified on the pool's.
absl::Duration CpuOfProcess() {
  timespec now = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

// The modulus of the one key that is in play, whose exponent is 65537: SubjectPublicKeyInfo ends with both.
std::string RsaJwks(const SoftwareKey& key) {
  const std::string spki(key.public_key().spki());
  constexpr size_t kExponentBytes = 5;  // INTEGER of three bytes
  const std::string modulus = spki.substr(spki.size() - kExponentBytes - 256, 256);
  return absl::StrCat(R"({"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"k1","e":"AQAB","n":")",
                      absl::WebSafeBase64Escape(modulus), R"("}]})");
}

class SettledKeys final : public JwksSource {
 public:
  explicit SettledKeys(const std::string& jwks) : keys_(std::make_shared<const Jwks>(Jwks::Parse(jwks).value())) {}
  std::shared_ptr<const Jwks> Current() const override { return keys_; }
  JwksReport Report() const override { return {"settled", absl::InfinitePast(), "", keys_}; }
  void Refresh(Done done) override { std::move(done)(absl::OkStatus()); }
  void Stop() override {}

 private:
  const std::shared_ptr<const Jwks> keys_;
};

TEST(ServiceAccountCost, IsLittleBesideTheSignature) {
  const auto key = SoftwareKey::Generate(KeyType::kRsa2048).value();
  const auto keys = std::make_shared<SettledKeys>(RsaJwks(*key));
  FakePods pods;
  FakeReviewer reviewer;
  FakeClock clock;
  std::vector<std::string> tokens;
  PodToken token;
  pods.PutAccount({token.namespace_name, token.account}, token.account_uid);
  for (int i = 0; i < kTokens; ++i) {
    token.pod_uid = absl::StrCat("0b5d2b6e-9c1f-4e55-8a3d-", 100'000'000'000 + i);
    pods.Put(token.pod_uid, token.AsKnown());
    const std::string input = absl::StrCat(absl::WebSafeBase64Escape(R"({"alg":"RS256","kid":"k1"})"), ".",
                                           absl::WebSafeBase64Escape(token.Claims()));
    tokens.push_back(absl::StrCat(input, ".", absl::WebSafeBase64Escape(key->Sign(input).value())));
  }
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    absl::Duration before = CpuOfProcess();
    for (const std::string& text : tokens) {
      const size_t dot = text.rfind('.');
      std::string signature;
      ASSERT_TRUE(absl::WebSafeBase64Unescape(text.substr(dot + 1), &signature));
      ASSERT_TRUE(VerifyJwsSignature(JwtAlgorithm::kRs256, keys->Current()->keys().front().key, text.substr(0, dot),
                                     signature));
    }
    const absl::Duration bare = CpuOfProcess() - before;
    ServiceAccountOptions options;
    options.issuer = [] { return std::string("https://kubernetes.test"); };
    options.audiences = {"istio-ca"};
    options.spiffe_id =
        ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, TrustDomain::Parse("cluster.local").value())
            .value();
    options.pool.places_per_source_max = options.pool.places_max = 2 * kTokens;
    ServiceAccountAuthenticator authenticator(std::move(options), keys, pods, reviewer, clock);
    AwaitedCounter good;
    before = CpuOfProcess();
    for (const std::string& text : tokens) {
      Credentials credentials;
      credentials.bearer_token = SecretBytes::CopyOf(text);
      authenticator.Authenticate(std::move(credentials), kJwtNow,
                                 [&good](const absl::StatusOr<CallerIdentity>& caller) {
                                   EXPECT_TRUE(caller.ok()) << caller.status();
                                   good.Add();
                                 });
    }
    ASSERT_TRUE(good.Await(kTokens));
    const absl::Duration all = CpuOfProcess() - before;
    best = std::min(best, absl::FDivDuration(all, bare));
  }
  EXPECT_EQ(reviewer.calls(), 0);
  EXPECT_LE(best, 1.3);
  RecordProperty("times_the_signature", absl::StrCat(best));
}

}  // namespace
}  // namespace meshca
