// Tokens of the pods of a large cluster, as a Kubernetes API server signs them, and what a watch of that cluster knows.
#ifndef MESHCA_TEST_BENCH_SERVICE_ACCOUNT_TOKENS_H_
#define MESHCA_TEST_BENCH_SERVICE_ACCOUNT_TOKENS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authn/jwks_source.h"
#include "ca/authn/known_pods.h"
#include "ca/kubernetes/pod_directory.h"

namespace meshca::bench {

inline constexpr char kTokenIssuer[] = "https://kubernetes.default.svc.cluster.local";
inline constexpr char kTokenAudience[] = "istio-ca";

// `pods` pods, told to a PodDirectory as a watch tells them, and a token for each of the first `tokens`, signed by
// RS256 with a key of 2048 bits. Immutable once made; thread-safe.
class TokenCluster final : public KnownPods {
 public:
  // Internal: OpenSSL.
  static absl::StatusOr<std::unique_ptr<TokenCluster>> Make(int pods, int tokens, absl::Time now);

  const std::vector<std::string>& tokens() const { return tokens_; }
  // The key that signed them, as the API server publishes it.
  const std::shared_ptr<const Jwks>& keys() const { return keys_; }

  std::optional<KnownPod> FindPod(absl::string_view uid) const override { return directory_.FindPod(uid); }
  bool LookAt(absl::string_view uid, Look look) const override { return directory_.LookAt(uid, look); }
  std::string AccountUid(const AccountName& account) const override { return directory_.AccountUid(account); }
  bool IsAccountUid(const AccountName& account, absl::string_view uid) const override {
    return directory_.IsAccountUid(account, uid);
  }
  bool IsGone(absl::string_view uid) const override { return directory_.IsGone(uid); }
  std::vector<AccountName> AccountsOn(absl::string_view node, absl::Time now) const override {
    return directory_.AccountsOn(node, now);
  }
  absl::Duration Age() const override { return absl::Seconds(1); }
  uint64_t Changes() const override { return directory_.Changes(); }

 private:
  TokenCluster() = default;
  void TellPods(int pods);
  absl::Status SignTokens(int tokens, absl::Time now);

  kubernetes::PodDirectory directory_;
  std::vector<std::string> tokens_;
  std::shared_ptr<const Jwks> keys_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_SERVICE_ACCOUNT_TOKENS_H_
