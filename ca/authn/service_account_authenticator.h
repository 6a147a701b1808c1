// Callers with the token of a Kubernetes service account.
#ifndef MESHCA_CA_AUTHN_SERVICE_ACCOUNT_AUTHENTICATOR_H_
#define MESHCA_CA_AUTHN_SERVICE_ACCOUNT_AUTHENTICATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/awaited_pods.h"
#include "ca/authn/fair_pool.h"
#include "ca/authn/jwks_source.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/refused_tokens.h"
#include "ca/authn/service_account_claims.h"
#include "ca/authn/service_account_template.h"
#include "ca/authn/token_cache.h"
#include "ca/authn/token_review_desk.h"
#include "ca/authn/token_reviewer.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/jwt/jwt_digest.h"

namespace meshca {

struct ServiceAccountOptions {
  // Whose tokens these are, as their `iss` says; "": the API server has not said so yet. Any thread.
  std::function<std::string()> issuer = {};
  std::vector<std::string> audiences = {};  // at least one
  ServiceAccountTemplate spiffe_id;
  bool always_review = false;  // ask the API server about every token with a good signature, however many there are
  // Accounts whose pods may ask on behalf of the pods of their own node.
  std::vector<AccountName> trusted_node_accounts = {};
  AwaitedPods::Options patience = {};
  TokenReviewLimits reviews = {};
  FairPool::Options pool = {};
};

// Judges a token by the API server's keys and by the cluster's own pods: its signature, issuer, audience and times as
// of any JWT, and then the pod that it is bound to, which must live. Where both hold nobody is asked. In doubt (the
// token is bound to no pod, its issuer is another than the API server names, its key or pod is not known, or the watch
// is old) the API server judges it. What the watch knows is looked at again for every call, whatever was remembered of
// the token: a pod that is gone has lost its right.
//
// The caller may hold the ID of its account. A pod of a trusted node account may hold those of all accounts that have a
// living pod on its node besides; the node is the one that the watch gives, and whoever is not known there gets none.
// While the watch is old, or has listed nothing yet, such a pod is Unavailable.
//
// Unauthenticated: JWT_* (jwt.h), SERVICE_ACCOUNT_CLAIMS, TOKEN_BOUND_ELSEWHERE, SERVICE_ACCOUNT_GONE, POD_GONE,
// POD_MISMATCH, TOKEN_REVIEW_REFUSED. PermissionDenied: JWT_CLAIM_INVALID. Unavailable: TOKEN_REVIEW_UNAVAILABLE,
// TOKEN_REVIEWS_BUSY, PODS_UNKNOWN, JWKS_UNAVAILABLE (the issuer is not known yet). ResourceExhausted: FairPool's,
// AwaitedPods'.
class ServiceAccountAuthenticator final : public Authenticator {
 public:
  // `keys` stop with it. `pods`, `reviewer` and `clock` outlive it.
  ServiceAccountAuthenticator(ServiceAccountOptions options, std::shared_ptr<JwksSource> keys, const KnownPods& pods,
                              TokenReviewer& reviewer, const Clock& clock);
  ~ServiceAccountAuthenticator() override;  // Stop

  // Answers whoever waits for anything, Unavailable; when this returns nobody is told anything any more, and whoever
  // asks later is answered at once. Before what the callers' `done` uses ends. Idempotent, by one thread; not inside a
  // `done`.
  void Stop();

  // Issuers whose JWTs others judge, from now on. Thread-safe; none before the first call.
  void SetOtherIssuers(std::vector<std::string> issuers) ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsOtherIssuer(absl::string_view issuer) const ABSL_LOCKS_EXCLUDED(mutex_);

  absl::string_view name() const override { return "service-account"; }
  absl::string_view accepts() const override { return accepts_; }
  // Any JWT but one of another's issuer.
  bool Recognises(const Credentials& credentials) const override;
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // For metrics and tests.
  uint64_t signatures_verified() const { return signatures_verified_; }
  uint64_t reviews() const { return desk_.calls(); }
  std::string review_error() const { return desk_.last_error(); }  // "": the last one was answered

 private:
  std::shared_ptr<const std::vector<std::string>> OtherIssuers() const ABSL_LOCKS_EXCLUDED(mutex_);
  // What a token says.
  struct Said {
    ServiceAccountClaims claims;
    absl::Time expires;
  };
  using SaidPtr = std::shared_ptr<const Said>;  // shared by the token's calls and what is remembered of it

  // A token on its way through the steps below; each hands it on or answers it.
  struct Waiting;
  using WaitingPtr = std::unique_ptr<Waiting>;

  void ReadAndCheck(JwtDigest digest, WaitingPtr waiting);
  // Form, issuer, audience, times: what costs little and needs no key.
  absl::Status Read(const JwtDigest& digest, Waiting& waiting) const;
  // ResourceExhausted: FairPool::Admit's.
  absl::Status TakePlace(Waiting& waiting);
  void CheckSignature(WaitingPtr waiting);
  void SubmitToPool(WaitingPtr waiting, std::shared_ptr<const Jwks> keys);
  absl::Status VerifyAndRemember(const Waiting& waiting);
  // Of a token whose signature was verified.
  void AskWatch(WaitingPtr waiting);
  void AwaitWatch(WaitingPtr waiting);
  // The API server judges it; the watch has the last word all the same.
  void AskApiServer(WaitingPtr waiting);
  absl::StatusOr<CallerIdentity> CallerOf(const Said& said, absl::Time now) const;
  bool MayAskForItsNode(const AccountName& account) const;
  void AddAccountsOfNode(const ServiceAccountClaims& claims, absl::string_view node, absl::Time now,
                         CallerIdentity& caller) const;

  const ServiceAccountOptions options_;
  const std::string accepts_;
  const std::shared_ptr<JwksSource> keys_;
  const KnownPods& pods_;
  TokenCache<SaidPtr> verified_;  // of tokens whose signature was good
  RefusedTokens refused_;
  std::atomic<uint64_t> signatures_verified_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable Mutex mutex_;
  std::shared_ptr<const std::vector<std::string>> other_issuers_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<const std::vector<std::string>>();
  TokenReviewDesk desk_;
  AwaitedPods awaited_;
  FairPool pool_;  // last: its threads use the others
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SERVICE_ACCOUNT_AUTHENTICATOR_H_
