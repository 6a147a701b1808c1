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
  JwtProof proof;  // of nothing for a token that is remembered
  SecretBytes token;
  std::string token_digest;  // JwtDigest::token
  SaidPtr said;
  absl::Time now;
  std::string source;
  std::function<bool()> abandoned;
  bool of_other_issuer = false;  // than the one that the keys are of
  bool signature_verified = false;
  std::shared_ptr<const Jwks> keys = nullptr;           // that it is verified by, once it is in the pool
  std::optional<FairPool::Place> place = std::nullopt;  // in the pool, also while it waits for keys
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
  JwtDigest digest = JwtDigest::Of(text);
  auto waiting = std::make_unique<Waiting>();
  waiting->token = std::move(credentials.bearer_token);
  waiting->now = now;
  waiting->source = std::move(credentials.source);
  waiting->abandoned = std::move(credentials.abandoned);
  if (std::optional<SaidPtr> known = verified_.Find(digest.token, now); known.has_value()) {
    waiting->said = *std::move(known);
    waiting->signature_verified = true;
    waiting->token_digest = std::move(digest.token);
    waiting->done = std::move(done);
    return AskWatch(std::move(waiting));
  }
  waiting->done = std::move(done);
  if (!options_.issuer().empty()) return ReadAndCheck(std::move(digest), std::move(waiting));
  // What is no token is told so at once, and nobody waits beyond the places of his own.
  absl::Status may_wait = Jwt::Parse(waiting->token.reveal(), &digest).status();
  if (may_wait.ok()) may_wait = TakePlace(*waiting);
  if (!may_wait.ok()) return std::move(waiting->done)(std::move(may_wait));
  // Nobody has reached the API server yet, and who looks for it by himself does so more and more seldom: its callers
  // come before.
  keys_->Refresh([this, digest = std::move(digest), waiting = std::move(waiting)](absl::Status looked) mutable {
    if (stopping_) return std::move(waiting->done)(absl::UnavailableError("the server is shutting down"));
    if (absl::IsResourceExhausted(looked)) return std::move(waiting->done)(std::move(looked));
    ReadAndCheck(std::move(digest), std::move(waiting));
  });
}

void ServiceAccountAuthenticator::ReadAndCheck(JwtDigest digest, WaitingPtr waiting) {
  if (absl::Status read = Read(digest, *waiting); !read.ok()) return std::move(waiting->done)(std::move(read));
  waiting->token_digest = std::move(digest.token);
  if (waiting->of_other_issuer) return AskApiServer(std::move(waiting));
  CheckSignature(std::move(waiting));
}

absl::Status ServiceAccountAuthenticator::Read(const JwtDigest& digest, Waiting& waiting) const {
  MESHCA_ASSIGN_OR_RETURN(Jwt token, Jwt::Parse(waiting.token.reveal(), &digest));
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
  waiting.of_other_issuer = claims.ok() && !token.issuer().empty() && token.issuer() != absl::string_view(issuer);
  MESHCA_RETURN_IF_ERROR(token.CheckClaims(waiting.of_other_issuer ? token.issuer() : absl::string_view(issuer),
                                           options_.audiences, waiting.now));
  if (!claims.ok()) return claims.status();
  waiting.said = std::make_shared<const Said>(Said{*std::move(claims), token.expires()});
  waiting.proof = std::move(token).TakeProof();
  return absl::OkStatus();
}

// A key that is not here is looked for once more, for a new one signs before the next regular look. Where it is not
// found, or the keys cannot be read, the API server itself may still know it.
void ServiceAccountAuthenticator::CheckSignature(WaitingPtr waiting) {
  std::shared_ptr<const Jwks> keys = keys_->Current();
  const absl::Status found = keys == nullptr ? absl::NotFoundError("no keys") : waiting->proof.FindKeys(*keys).status();
  if (found.ok()) {
    if (refused_.Contains(waiting->token_digest, keys)) return std::move(waiting->done)(JwtProof::SignatureInvalid());
    return SubmitToPool(std::move(waiting), std::move(keys));
  }
  if (keys != nullptr && ReasonOf(found) != "JWT_UNKNOWN_KEY") return std::move(waiting->done)(found);
  if (absl::Status taken = TakePlace(*waiting); !taken.ok()) return std::move(waiting->done)(std::move(taken));
  keys_->Refresh([this, waiting = std::move(waiting)](absl::Status looked) mutable {
    if (stopping_) return std::move(waiting->done)(absl::UnavailableError("the server is shutting down"));
    if (absl::IsResourceExhausted(looked)) return std::move(waiting->done)(std::move(looked));
    std::shared_ptr<const Jwks> fresh = keys_->Current();
    if (fresh == nullptr || !waiting->proof.FindKeys(*fresh).ok()) return AskApiServer(std::move(waiting));
    SubmitToPool(std::move(waiting), std::move(fresh));
  });
}

absl::Status ServiceAccountAuthenticator::TakePlace(Waiting& waiting) {
  if (waiting.place.has_value()) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(waiting.place, pool_.Admit(waiting.source));
  return absl::OkStatus();
}

void ServiceAccountAuthenticator::SubmitToPool(WaitingPtr waiting, std::shared_ptr<const Jwks> keys) {
  if (absl::Status taken = TakePlace(*waiting); !taken.ok()) return std::move(waiting->done)(std::move(taken));
  waiting->keys = std::move(keys);
  FairPool::Place place = *std::move(waiting->place);
  waiting->place.reset();
  pool_.Submit(std::move(place), [this, waiting = std::move(waiting)]() mutable {
    if (absl::Status good = VerifyAndRemember(*waiting); !good.ok()) {
      return std::move(waiting->done)(std::move(good));
    }
    waiting->signature_verified = true;
    AskWatch(std::move(waiting));
  });
}

absl::Status ServiceAccountAuthenticator::VerifyAndRemember(const Waiting& waiting) {
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  if (waiting.abandoned && waiting.abandoned()) return absl::CancelledError("the caller went away");
  // The same token may have been verified while this one waited: a client's first calls come together.
  if (verified_.Find(waiting.token_digest, waiting.now).has_value()) return absl::OkStatus();
  if (refused_.Contains(waiting.token_digest, waiting.keys)) return JwtProof::SignatureInvalid();
  ++signatures_verified_;
  if (absl::Status good = waiting.proof.Verify(*waiting.keys); !good.ok()) {
    refused_.Put(waiting.token_digest, waiting.keys);
    return good;
  }
  verified_.Put(waiting.token_digest, waiting.said, waiting.said->expires, waiting.now);
  return absl::OkStatus();
}

void ServiceAccountAuthenticator::AskWatch(WaitingPtr waiting) {
  const WatchVerdict verdict = JudgeByWatch(waiting->said->claims, pods_, waiting->now);
  switch (verdict.kind) {
    case WatchVerdict::Kind::kRefused: return std::move(waiting->done)(verdict.refusal);
    case WatchVerdict::Kind::kLives:
      if (options_.always_review) return AskApiServer(std::move(waiting));
      return std::move(waiting->done)(CallerOf(*waiting->said, waiting->now));
    case WatchVerdict::Kind::kNotKnownYet:
      // The API server is going to be asked whatever the watch says.
      if (options_.always_review) return AskApiServer(std::move(waiting));
      return AwaitWatch(std::move(waiting));
    case WatchVerdict::Kind::kInDoubt: return AskApiServer(std::move(waiting));
  }
}

void ServiceAccountAuthenticator::AwaitWatch(WaitingPtr waiting) {
  // The two below share it, and the second takes it over.
  auto shared = std::make_shared<WaitingPtr>(std::move(waiting));
  const Waiting& there = **shared;
  const auto is_known = [this, said = there.said, now = there.now] {
    return JudgeByWatch(said->claims, pods_, now).kind != WatchVerdict::Kind::kNotKnownYet;
  };
  const absl::Status waits = awaited_.Await(there.source, is_known, [this, shared] {
    WaitingPtr waiting = std::move(*shared);
    if (stopping_) return std::move(waiting->done)(absl::UnavailableError("the server is shutting down"));
    if (waiting->abandoned && waiting->abandoned()) {
      return std::move(waiting->done)(absl::CancelledError("the caller went away"));
    }
    const WatchVerdict verdict = JudgeByWatch(waiting->said->claims, pods_, waiting->now);
    if (verdict.kind == WatchVerdict::Kind::kNotKnownYet) return AskApiServer(std::move(waiting));
    AskWatch(std::move(waiting));
  });
  if (!waits.ok()) std::move((*shared)->done)(waits);
}

void ServiceAccountAuthenticator::AskApiServer(WaitingPtr waiting) {
  TokenReviewDesk::Question question;
  question.token = std::move(waiting->token);
  question.token_digest = std::move(waiting->token_digest);
  question.claims = waiting->said->claims;
  question.expires = waiting->said->expires;
  question.signature_verified = waiting->signature_verified;
  question.source = std::move(waiting->source);
  desk_.Ask(std::move(question), waiting->now,
            [this, said = std::move(waiting->said), now = waiting->now,
             done = std::move(waiting->done)](absl::Status verdict) mutable {
              if (!verdict.ok()) return std::move(done)(std::move(verdict));
              // The API server believes a token for some seconds longer than its pod lives, and its answer may be a
              // minute old.
              const WatchVerdict watch = JudgeByWatch(said->claims, pods_, now);
              if (watch.kind == WatchVerdict::Kind::kRefused) return std::move(done)(watch.refusal);
              std::move(done)(CallerOf(*said, now));
            });
}

absl::StatusOr<CallerIdentity> ServiceAccountAuthenticator::CallerOf(const Said& said, absl::Time now) const {
  const ServiceAccountClaims& claims = said.claims;
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, options_.spiffe_id.IdOf(claims.account));
  CallerIdentity caller;
  caller.method = AuthMethod::kServiceAccount;
  caller.subject = absl::StrCat("service account ", claims.account.Text());
  caller.ids = {std::move(id)};
  caller.proof_expires = said.expires;
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
  if (verdict.kind == WatchVerdict::Kind::kLives && !verdict.node.empty()) {
    AddAccountsOfNode(claims, verdict.node, now, caller);
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
