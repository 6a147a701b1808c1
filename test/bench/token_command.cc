#include "test/bench/token_command.h"

#include <time.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include <openssl/evp.h>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "ca/authn/service_account_authenticator.h"
#include "ca/base/check.h"
#include "ca/base/clock.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt.h"
#include "test/bench/arithmetic.h"
#include "test/bench/service_account_tokens.h"

namespace meshca::bench {
namespace {

using Json = nlohmann::json;

struct TokenFlags {
  int pods = 100'000;
  int tokens = 4'000;
  int in_flight = 32;
  int rounds = 5;
  bool json = false;
};

absl::Duration ProcessCpuTime() {
  timespec now = {};
  MESHCA_CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
  return absl::DurationFromTimespec(now);
}

class FixedKeys final : public JwksSource {
 public:
  explicit FixedKeys(std::shared_ptr<const Jwks> keys) : keys_(std::move(keys)) {}
  std::shared_ptr<const Jwks> Current() const override { return keys_; }
  JwksReport Report() const override { return {}; }
  void Refresh(Done done) override { std::move(done)(absl::OkStatus()); }
  void Stop() override {}

 private:
  const std::shared_ptr<const Jwks> keys_;
};

// Nobody is asked: a call would make the figure another one.
class NoReviewer final : public TokenReviewer {
 public:
  void Review(absl::string_view, const std::vector<std::string>&, Done done) override {
    std::move(done)(absl::UnavailableError("the benchmark has no API server"));
  }
};

// Calls on their way, of which there are never more than `max`. Where there are as many, half of them have to end
// before another one begins: a server's loop is not woken for each of its calls either.
class Window {
 public:
  explicit Window(int max) : max_(max) {}
  void Begin() {
    MutexLock lock(mutex_);
    if (open_ == max_) AwaitAtMost(max_ / 2);
    ++open_;
  }
  void End(const absl::Status& status) {
    MutexLock lock(mutex_);
    if (!status.ok() && failure_.ok()) failure_ = status;
    --open_;
    if (open_ == max_ / 2 || open_ == 0) changed_.NotifyOne();
  }
  // When none is open any more.
  absl::Status Close() {
    MutexLock lock(mutex_);
    AwaitAtMost(0);
    return failure_;
  }

 private:
  void AwaitAtMost(int open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    while (open_ > open) changed_.Wait(mutex_);
  }

  const int max_;
  Mutex mutex_;
  CondVar changed_;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

// CPU time of the bare RS256 verification of one token: SHA-256 over its text, and the arithmetic.
absl::Duration VerificationTime(const std::vector<JwtProof>& proofs, const Jwks& keys) {
  const absl::Duration start = ThreadCpuTime();
  for (const JwtProof& proof : proofs) {
    MESHCA_CHECK(VerifyJwsSignature(proof.algorithm, keys.keys().front().key, proof.signing_input, proof.signature));
  }
  return (ThreadCpuTime() - start) / proofs.size();
}

// The same by the call that OpenSSL's manual shows for it, EVP_DigestVerify with a context of its own for each
// signature: what anybody pays who prepares nothing.
absl::Duration PlainOpenSslTime(const std::vector<JwtProof>& proofs, const Jwks& keys) {
  EVP_PKEY* const key = keys.keys().front().key.evp();
  const absl::Duration start = ThreadCpuTime();
  for (const JwtProof& proof : proofs) {
    const EvpMdCtxPtr context(EVP_MD_CTX_new());
    MESHCA_CHECK(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1);
    MESHCA_CHECK(EVP_DigestVerify(context.get(), OpenSslBytes(proof.signature), proof.signature.size(),
                                  OpenSslBytes(proof.signing_input), proof.signing_input.size()) == 1);
  }
  return (ThreadCpuTime() - start) / proofs.size();
}

// CPU time of this process for each token of `cluster`, none of which was seen before.
absl::StatusOr<absl::Duration> AuthenticationTime(const TokenCluster& cluster, const TokenFlags& flags,
                                                  absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const TrustDomain domain, TrustDomain::Parse("cluster.local"));
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountTemplate id,
                          ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, domain));
  ServiceAccountOptions options{.spiffe_id = std::move(id)};
  options.issuer = [] { return std::string(kTokenIssuer); };
  options.audiences = {kTokenAudience};
  NoReviewer reviewer;
  ServiceAccountAuthenticator authenticator(std::move(options), std::make_shared<FixedKeys>(cluster.keys()), cluster,
                                            reviewer, SystemClock());
  // As the transport hands them over: what it did to read them is not the token's cost.
  std::vector<Credentials> received(cluster.tokens().size());
  for (size_t i = 0; i < received.size(); ++i) {
    received[i].bearer_token = SecretBytes::CopyOf(cluster.tokens()[i]);
    received[i].source = "10.0.0.1";
  }
  Window window(flags.in_flight);
  const absl::Duration start = ProcessCpuTime();
  for (Credentials& credentials : received) {
    window.Begin();
    authenticator.Authenticate(std::move(credentials), now,
                               [&window](absl::StatusOr<CallerIdentity> caller) { window.End(caller.status()); });
  }
  MESHCA_RETURN_IF_ERROR(window.Close());
  return (ProcessCpuTime() - start) / cluster.tokens().size();
}

absl::StatusOr<Json> MeasureTokens(const TokenFlags& flags) {
  const absl::Time now = absl::Now();
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<TokenCluster> cluster,
                          TokenCluster::Make(flags.pods, flags.tokens, now));
  std::vector<JwtProof> proofs;
  for (const std::string& token : cluster->tokens()) {
    MESHCA_ASSIGN_OR_RETURN(const Jwt jwt, Jwt::Parse(token));
    proofs.push_back(jwt.proof());
  }
  MESHCA_RETURN_IF_ERROR(AuthenticationTime(*cluster, flags, now).status());  // warms up
  Json rounds = Json::array();
  for (int i = 0; i < flags.rounds; ++i) {
    const absl::Duration before = VerificationTime(proofs, *cluster->keys());
    MESHCA_ASSIGN_OR_RETURN(const absl::Duration whole, AuthenticationTime(*cluster, flags, now));
    const absl::Duration bare = (before + VerificationTime(proofs, *cluster->keys())) / 2;
    rounds.push_back({{"token_us", absl::ToDoubleMicroseconds(whole)},
                      {"verification_us", absl::ToDoubleMicroseconds(bare)},
                      {"openssl_us", absl::ToDoubleMicroseconds(PlainOpenSslTime(proofs, *cluster->keys()))},
                      {"ratio", absl::FDivDuration(whole, bare)}});
  }
  return Json{{"pods", flags.pods}, {"token_bytes", cluster->tokens().front().size()}, {"rounds", rounds}};
}

int RunToken(const TokenFlags& flags) {
  const absl::StatusOr<Json> report = MeasureTokens(flags);
  if (!report.ok()) {
    std::cerr << "meshca-bench token: " << report.status() << std::endl;
    return 1;
  }
  if (flags.json) {
    std::cout << report->dump(1) << std::endl;
    return 0;
  }
  for (const Json& round : report->at("rounds")) {
    std::cout << absl::StrFormat("token    %.1f us, %.2f times its RS256 verification\n",
                                 round.at("token_us").get<double>(), round.at("ratio").get<double>());
  }
  return 0;
}

}  // namespace

CLI::App* AddTokenCommand(CLI::App& tool, int& exit_code) {
  const auto flags = std::make_shared<TokenFlags>();
  CLI::App* const command =
      tool.add_subcommand("token", "Service account tokens of Kubernetes: what one costs to verify without a call");
  command->add_option("--pods", flags->pods, "Pods that the watch knows")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--tokens", flags->tokens, "Tokens of a round, each of another pod")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--in-flight", flags->in_flight, "Tokens on their way at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--rounds", flags->rounds, "Rounds")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_flag("--json", flags->json, "Report as JSON");
  command->callback([flags, &exit_code] { exit_code = RunToken(*flags); });
  return command;
}

}  // namespace meshca::bench
