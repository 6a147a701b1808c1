#include "ca/authn/service_account_authenticator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authn/watch_verdict.h"
#include "ca/base/status.h"
#include "ca/identity/pod_origin.h"
#include "ca/jwt/jwt.h"
#include "ca/x509/digest.h"

namespace meshca {
namespace {

FairPool::Options PoolOfTokens(FairPool::Options options) {
  options.what = "service account tokens";
  return options;
}

// Whoever wants every token reviewed wants as many reviews as there are tokens. Those whose signature nobody verified
// can be made by anybody, in any number.
TokenReviewLimits LimitsOf(const ServiceAccountOptions& options) {
  TokenReviewLimits limits = options.reviews;
  if (options.always_review) limits.verified_freely = true;
  return limits;
}

absl::Status NodeUnknown(const AccountName& account) {
  return WithReason(absl::UnavailableError(absl::StrCat("service account token of ", account.Text(),
                                                        ", which may ask for the pods of its node: which these are is "
                                                        "not known while the cluster's API server is away, "
                                                        "or before its pods were listed; retry with backoff, and where "
                                                        "it goes on, `meshca check` on the server says why")),
                    "PODS_UNKNOWN");
}

}  // namespace

struct ServiceAccountAuthenticator::Waiting {
  JwtProof proof;
  SecretBytes token;
  std::string token_sha256;
  ServiceAccountClaims claims;
  absl::Time now;
  absl::Time expires;
  std::string source;
  std::function<bool()> abandoned;
  bool of_other_issuer = false;  // than the one that the keys are of
  bool signature_verified = false;
  Done done;
};

ServiceAccountAuthenticator::ServiceAccountAuthenticator(ServiceAccountOptions options,
                                                         std::shared_ptr<JwksSource> keys, const KnownPods& pods,
                                                         TokenReviewer& reviewer, const Clock& clock)
    : options_(std::move(options)),
      accepts_(
          absl::StrCat("a Kubernetes service account token for audience ", absl::StrJoin(options_.audiences, " or "))),
      keys_(std::move(keys)),
      pods_(pods),
      desk_(LimitsOf(options_), options_.audiences, reviewer, clock),
      awaited_(options_.patience, pods),
      pool_(PoolOfTokens(options_.pool)) {}

ServiceAccountAuthenticator::~ServiceAccountAuthenticator() { Stop(); }

void ServiceAccountAuthenticator::Stop() {
  // Each of them hands what waits in it on to the next, which is still there.
  stopping_ = true;
  keys_->Stop();
  pool_.Stop();
  awaited_.Stop();
  desk_.Stop();
}

bool ServiceAccountAuthenticator::Recognises(const Credentials& credentials) const {
  const absl::string_view text = credentials.bearer_token.reveal();
  if (!LooksLikeJwt(text)) return false;
  if (OtherIssuers()->empty() || text.size() > Jwt::kBytesMax) return true;
  const absl::StatusOr<Jwt> token = Jwt::Parse(text);
  return !token.ok() || !IsOtherIssuer(token->issuer());
}

std::shared_ptr<const std::vector<std::string>> ServiceAccountAuthenticator::OtherIssuers() const {
  MutexLock lock(mutex_);
  return other_issuers_;
}

bool ServiceAccountAuthenticator::IsOtherIssuer(absl::string_view issuer) const {
  const std::shared_ptr<const std::vector<std::string>> others = OtherIssuers();
  return std::any_of(others->begin(), others->end(),
                     [&](const std::string& each) { return issuer == absl::string_view(each); });
}

void ServiceAccountAuthenticator::SetOtherIssuers(std::vector<std::string> issuers) {
  auto others = std::make_shared<const std::vector<std::string>>(std::move(issuers));
  MutexLock lock(mutex_);
  other_issuers_.swap(others);
}

void ServiceAccountAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  if (stopping_) return std::move(done)(absl::UnavailableError("the server is shutting down"));
  const absl::string_view text = credentials.bearer_token.reveal();
  if (text.size() > Jwt::kBytesMax) return std::move(done)(Jwt::Parse(text).status());
  std::string hash = Sha256(text);
  if (std::optional<Verified> known = verified_.Find(hash, now); known.has_value()) {
    Waiting waiting;
    waiting.token = std::move(credentials.bearer_token);
    waiting.token_sha256 = std::move(hash);
    waiting.claims = std::move(known->claims);
    waiting.now = now;
    waiting.expires = known->expires;
    waiting.source = std::move(credentials.source);
    waiting.abandoned = std::move(credentials.abandoned);
    waiting.signature_verified = true;
    waiting.done = std::move(done);
    return AskWatch(std::move(waiting));
  }
  if (!options_.issuer().empty()) {
    return ReadAndCheck(std::move(credentials), std::move(hash), now, std::move(done));
  }
  // Nobody has reached the API server yet, and who looks for it by himself does so more and more seldom: its callers
  // come before.
  keys_->Refresh([this, credentials = std::move(credentials), hash = std::move(hash), now,
                  done = std::move(done)](absl::Status looked) mutable {
    if (stopping_) return std::move(done)(absl::UnavailableError("the server is shutting down"));
    if (absl::IsResourceExhausted(looked)) return std::move(done)(std::move(looked));
    ReadAndCheck(std::move(credentials), std::move(hash), now, std::move(done));
  });
}

void ServiceAccountAuthenticator::ReadAndCheck(Credentials credentials, std::string token_sha256, absl::Time now,
                                               Done done) {
  absl::StatusOr<Waiting> waiting = Read(std::move(credentials), std::move(token_sha256), now);
  if (!waiting.ok()) return std::move(done)(waiting.status());
  waiting->done = std::move(done);
  if (waiting->of_other_issuer) return AskApiServer(*std::move(waiting));
  CheckSignature(*std::move(waiting));
}

absl::StatusOr<ServiceAccountAuthenticator::Waiting> ServiceAccountAuthenticator::Read(Credentials credentials,
                                                                                       std::string token_sha256,
                                                                                       absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const Jwt token, Jwt::Parse(credentials.bearer_token.reveal()));
  const std::string issuer = options_.issuer();
  if (issuer.empty()) {
    return WithReason(
        absl::UnavailableError("service account token: the cluster's API server has not been reached yet, "
                               "so nobody knows whose tokens are good; retry with backoff, and where it "
                               "goes on, `meshca check` on the server says why"),
        "JWKS_UNAVAILABLE");
  }
  // An API server may take tokens of several issuers, and names one. Tokens of those that others judge do not come
  // here.
  absl::StatusOr<ServiceAccountClaims> claims = ReadServiceAccountClaims(token);
  const bool of_other_issuer = claims.ok() && !token.issuer().empty() && token.issuer() != absl::string_view(issuer);
  MESHCA_RETURN_IF_ERROR(
      token.CheckClaims(of_other_issuer ? token.issuer() : absl::string_view(issuer), options_.audiences, now));
  if (!claims.ok()) return claims.status();
  Waiting waiting;
  waiting.claims = *std::move(claims);
  waiting.of_other_issuer = of_other_issuer;
  waiting.proof = token.proof();
  waiting.token = std::move(credentials.bearer_token);
  waiting.token_sha256 = std::move(token_sha256);
  waiting.now = now;
  waiting.expires = token.expires();
  waiting.source = std::move(credentials.source);
  waiting.abandoned = std::move(credentials.abandoned);
  return waiting;
}

// A key that is not here is looked for once more, for a new one signs before the next regular look. Where it is not
// found, or the keys cannot be read, the API server itself may still know it.
void ServiceAccountAuthenticator::CheckSignature(Waiting waiting) {
  std::shared_ptr<const Jwks> keys = keys_->Current();
  const absl::Status found = keys == nullptr ? absl::NotFoundError("no keys") : waiting.proof.FindKeys(*keys).status();
  if (found.ok()) {
    if (refused_.Contains(waiting.token_sha256, keys)) return std::move(waiting.done)(JwtProof::SignatureInvalid());
    return SubmitToPool(std::move(waiting), std::move(keys));
  }
  if (keys != nullptr && ReasonOf(found) != "JWT_UNKNOWN_KEY") return std::move(waiting.done)(found);
  keys_->Refresh([this, waiting = std::move(waiting)](absl::Status looked) mutable {
    if (stopping_) return std::move(waiting.done)(absl::UnavailableError("the server is shutting down"));
    if (absl::IsResourceExhausted(looked)) return std::move(waiting.done)(std::move(looked));
    std::shared_ptr<const Jwks> fresh = keys_->Current();
    if (fresh == nullptr || !waiting.proof.FindKeys(*fresh).ok()) return AskApiServer(std::move(waiting));
    SubmitToPool(std::move(waiting), std::move(fresh));
  });
}

void ServiceAccountAuthenticator::SubmitToPool(Waiting waiting, std::shared_ptr<const Jwks> keys) {
  absl::StatusOr<FairPool::Place> place = pool_.Admit(waiting.source);
  if (!place.ok()) return std::move(waiting.done)(place.status());
  pool_.Submit(*std::move(place), [this, waiting = std::move(waiting), keys = std::move(keys)]() mutable {
    if (absl::Status good = VerifyAndRemember(waiting, keys); !good.ok()) {
      return std::move(waiting.done)(std::move(good));
    }
    waiting.signature_verified = true;
    AskWatch(std::move(waiting));
  });
}

absl::Status ServiceAccountAuthenticator::VerifyAndRemember(const Waiting& waiting,
                                                            const std::shared_ptr<const Jwks>& keys) {
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  if (waiting.abandoned && waiting.abandoned()) return absl::CancelledError("the caller went away");
  // The same token may have been verified while this one waited: a client's first calls come together.
  if (verified_.Find(waiting.token_sha256, waiting.now).has_value()) return absl::OkStatus();
  if (refused_.Contains(waiting.token_sha256, keys)) return JwtProof::SignatureInvalid();
  ++signatures_verified_;
  if (absl::Status good = waiting.proof.Verify(*keys); !good.ok()) {
    refused_.Put(waiting.token_sha256, keys);
    return good;
  }
  verified_.Put(waiting.token_sha256, Verified{waiting.claims, waiting.expires}, waiting.expires, waiting.now);
  return absl::OkStatus();
}

void ServiceAccountAuthenticator::AskWatch(Waiting waiting) {
  const WatchVerdict verdict = JudgeByWatch(waiting.claims, pods_, waiting.now);
  switch (verdict.kind) {
    case WatchVerdict::Kind::kRefused: return std::move(waiting.done)(verdict.refusal);
    case WatchVerdict::Kind::kLives:
      if (options_.always_review) return AskApiServer(std::move(waiting));
      return std::move(waiting.done)(CallerOf(waiting.claims, waiting.expires, waiting.now));
    case WatchVerdict::Kind::kNotKnownYet:
      // The API server is going to be asked whatever the watch says.
      if (options_.always_review) return AskApiServer(std::move(waiting));
      return AwaitWatch(std::move(waiting));
    case WatchVerdict::Kind::kInDoubt: return AskApiServer(std::move(waiting));
  }
}

void ServiceAccountAuthenticator::AwaitWatch(Waiting waiting) {
  auto shared = std::make_shared<Waiting>(std::move(waiting));
  const auto is_known = [this, shared] {
    return JudgeByWatch(shared->claims, pods_, shared->now).kind != WatchVerdict::Kind::kNotKnownYet;
  };
  const absl::Status waits = awaited_.Await(shared->source, is_known, [this, shared] {
    if (stopping_) return std::move(shared->done)(absl::UnavailableError("the server is shutting down"));
    if (shared->abandoned && shared->abandoned()) {
      return std::move(shared->done)(absl::CancelledError("the caller went away"));
    }
    const WatchVerdict verdict = JudgeByWatch(shared->claims, pods_, shared->now);
    if (verdict.kind == WatchVerdict::Kind::kNotKnownYet) return AskApiServer(std::move(*shared));
    AskWatch(std::move(*shared));
  });
  if (!waits.ok()) std::move(shared->done)(waits);
}

void ServiceAccountAuthenticator::AskApiServer(Waiting waiting) {
  TokenReviewDesk::Question question;
  question.token = std::move(waiting.token);
  question.token_sha256 = std::move(waiting.token_sha256);
  question.claims = waiting.claims;
  question.expires = waiting.expires;
  question.signature_verified = waiting.signature_verified;
  question.source = std::move(waiting.source);
  desk_.Ask(std::move(question), waiting.now,
            [this, claims = std::move(waiting.claims), expires = waiting.expires, now = waiting.now,
             done = std::move(waiting.done)](absl::Status verdict) mutable {
              if (!verdict.ok()) return std::move(done)(std::move(verdict));
              // The API server believes a token for some seconds longer than its pod lives, and its answer may be a
              // minute old.
              const WatchVerdict watch = JudgeByWatch(claims, pods_, now);
              if (watch.kind == WatchVerdict::Kind::kRefused) return std::move(done)(watch.refusal);
              std::move(done)(CallerOf(claims, expires, now));
            });
}

absl::StatusOr<CallerIdentity> ServiceAccountAuthenticator::CallerOf(const ServiceAccountClaims& claims,
                                                                     absl::Time expires, absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, options_.spiffe_id.IdOf(claims.account));
  CallerIdentity caller;
  caller.method = AuthMethod::kServiceAccount;
  caller.subject = absl::StrCat("service account ", claims.account.Text());
  caller.ids = {std::move(id)};
  caller.proof_expires = expires;
  caller.origin = PodOrigin{claims.account.namespace_name, claims.account.account, claims.account_uid, claims.pod_uid,
                            claims.issuer}
                      .ToOrigin();
  if (!claims.IsBoundToPod()) return caller;
  caller.instance = absl::StrCat("pod ", claims.account.namespace_name, "/", claims.pod);
  if (!MayAskForItsNode(claims.account)) return caller;
  // By what the watch knows alone, and only while that is fresh: what somebody else's node runs is nobody's word. Its
  // own identity alone would be a refusal of all the others, and whoever is refused does not ask again as soon.
  if (pods_.Age() > kWatchAgeMax) return NodeUnknown(claims.account);
  const WatchVerdict verdict = JudgeByWatch(claims, pods_, now);
  if (verdict.kind == WatchVerdict::Kind::kLives && !verdict.pod->node.empty()) {
    AddAccountsOfNode(claims, verdict.pod->node, now, caller);
  }
  return caller;
}

bool ServiceAccountAuthenticator::MayAskForItsNode(const AccountName& account) const {
  return std::find(options_.trusted_node_accounts.begin(), options_.trusted_node_accounts.end(), account) !=
         options_.trusted_node_accounts.end();
}

void ServiceAccountAuthenticator::AddAccountsOfNode(const ServiceAccountClaims& claims, absl::string_view node,
                                                    absl::Time now, CallerIdentity& caller) const {
  for (const AccountName& account : pods_.AccountsOn(node, now)) {
    absl::StatusOr<SpiffeId> id = options_.spiffe_id.IdOf(account);
    // An account whose names make no ID has none to be asked for.
    if (!id.ok() || *id == caller.ids.front()) continue;
    caller.ids.push_back(*id);
    IdentityRights right;
    right.id = *std::move(id);
    right.origin = PodOrigin{account.namespace_name, account.account, claims.account_uid, claims.pod_uid, claims.issuer}
                       .ToOrigin();
    caller.rights.push_back(std::move(right));
  }
}

}  // namespace meshca
