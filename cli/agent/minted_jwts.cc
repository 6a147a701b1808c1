#include "cli/agent/minted_jwts.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt.h"
#include "ca/jwt/jwt_key.h"
#include "ca/jwt/jwt_svid.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::agent {
namespace {

// The CA's tokens live five minutes at most; whatever says that it lives longer is asked for again all the same.
constexpr absl::Duration kLifeMax = absl::Minutes(5);

absl::Status NotBelieved(absl::string_view what) {
  return WithReason(absl::UnavailableError(absl::StrCat("the CA's JWT-SVID is not used: ", what)), "JWT_NOT_BELIEVED");
}

// Audiences hold no control characters (CheckJwtAudiences).
std::string KeyOf(const JwtWish& wish) {
  return absl::StrCat(wish.id.uri(), "\n", absl::StrJoin(wish.audiences, "\n"));
}

std::vector<std::string> Sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

const std::vector<JwtKey>* KeysOf(const sds::Trust& trust, const TrustDomain& trust_domain) {
  for (const sds::DomainTrust& domain : trust.domains) {
    if (domain.trust_domain == trust_domain) return &domain.jwt_keys;
  }
  return nullptr;
}

absl::Duration LifeOf(const ValidJwtSvid& token, absl::Time now) {
  const JsonValue* issued = token.claims.Find("iat");
  const bool dated = issued != nullptr && issued->kind == JsonValue::Kind::kNumber;
  // Both by the CA's clock, where it says so.
  const absl::Time from = dated ? absl::UnixEpoch() + absl::Seconds(issued->number) : now;
  return std::clamp(token.expires_at - from, absl::ZeroDuration(), kLifeMax);
}

}  // namespace

MintedJwts::MintedJwts(MintedJwtsOptions options, CaCaller& ca, ToldTrust& trust, const JudgedClock& clock)
    : options_(options), ca_(ca), trust_(trust), clock_(clock) {
  trust.AddListener([this](const std::shared_ptr<const sds::Trust>& told) { DropUntrusted(*told); });
}

void MintedJwts::Mint(JwtWish wish, Done done) {
  if (const absl::Status fit = CheckJwtAudiences(wish.audiences); !fit.ok()) return std::move(done)(fit);
  wish.audiences = Sorted(std::move(wish.audiences));
  const std::string key = KeyOf(wish);
  bool ask = false;
  std::optional<absl::StatusOr<HeldJwt>> answer = AnswerOrWait(key, wish, done, ask);
  if (ask) Ask(key, wish);
  if (answer.has_value()) std::move(done)(*std::move(answer));
}

std::optional<absl::StatusOr<HeldJwt>> MintedJwts::AnswerOrWait(const std::string& key, const JwtWish& wish, Done& done,
                                                                bool& ask) {
  MutexLock lock(mutex_);
  const auto held = tokens_.find(key);
  if (held != tokens_.end() && clock_.SinceBoot() < held->second.fresh_until) return held->second.token;
  const bool under_way = minting_.contains(key);
  if (waiting_ >= options_.waiting_max || (!under_way && minting_.size() >= options_.minting_max)) {
    return absl::ResourceExhaustedError("too many JWT-SVIDs are being minted for this node");
  }
  Minting& minting = minting_[key];
  ask = minting.waiting.empty();
  if (ask) {
    minting.wish = wish;
    minting.asked_at = clock_.SinceBoot();
  }
  minting.waiting.push_back(std::move(done));
  ++waiting_;
  return std::nullopt;
}

void MintedJwts::Ask(const std::string& key, const JwtWish& wish) {
  v1::MintJwtRequest request;
  request.set_spiffe_id(wish.id.uri());
  request.set_entry_id(wish.entry_id);
  for (const std::string& audience : wish.audiences) request.add_audiences(audience);
  ca_.Call(kMintJwtMethod, request.SerializeAsString(),
           [this, key](absl::StatusOr<std::string> response) { TakeAnswer(key, response); });
}

void MintedJwts::TakeAnswer(const std::string& key, const absl::StatusOr<std::string>& response) {
  Minting minted;
  {
    MutexLock lock(mutex_);
    const auto found = minting_.find(key);
    if (found == minting_.end()) return;  // StopServing has told them all
    minted = std::move(found->second);
    minting_.erase(found);
    waiting_ -= minted.waiting.size();
  }
  const absl::StatusOr<Entry> entry = ReadAnswer(response, minted.wish, minted.asked_at);
  if (entry.ok()) {
    MutexLock lock(mutex_);
    MakeRoom();
    tokens_[key] = *entry;
  }
  for (Done& done : minted.waiting) {
    std::move(done)(entry.ok() ? absl::StatusOr<HeldJwt>(entry->token) : absl::StatusOr<HeldJwt>(entry.status()));
  }
}

absl::StatusOr<MintedJwts::Entry> MintedJwts::ReadAnswer(const absl::StatusOr<std::string>& response,
                                                         const JwtWish& wish, absl::Duration asked_at) const {
  if (!response.ok()) return response.status();
  v1::MintJwtResponse answer;
  if (!answer.ParseFromString(*response)) return NotBelieved("it cannot be read");
  const std::shared_ptr<const sds::Trust> trust = trust_.Current();
  if (trust == nullptr) return NotBelieved("this agent was not told yet what to trust");
  const absl::Time now = clock_.LikelyNow();
  const absl::StatusOr<ValidJwtSvid> token = ValidateJwtSvid(
      answer.token(), wish.audiences.front(), [&](const TrustDomain& domain) { return KeysOf(*trust, domain); }, now);
  if (!token.ok()) return NotBelieved(token.status().message());
  if (token->id != wish.id)
    return NotBelieved(absl::StrCat("it is for ", token->id.uri(), " instead of ", wish.id.uri()));
  if (Sorted(token->audiences) != wish.audiences) return NotBelieved("it is for other audiences than were asked for");
  Entry entry;
  entry.spiffe_id = wish.id.uri();
  MESHCA_ASSIGN_OR_RETURN(const Jwt jwt, Jwt::Parse(answer.token()));
  entry.kid = jwt.kid();
  entry.token = {answer.token(), token->expires_at};
  entry.fresh_until = asked_at + LifeOf(*token, now) / 2;
  return entry;
}

void MintedJwts::MakeRoom() {
  if (tokens_.size() < options_.tokens_max) return;
  // One of the identity that has the most, so that no workload drives another one's tokens out: those are what it has
  // while the CA is away. Of them the one that ends first.
  absl::flat_hash_map<absl::string_view, size_t> of_identity;
  for (const auto& [wish, token] : tokens_) ++of_identity[token.spiffe_id];
  tokens_.erase(std::max_element(tokens_.begin(), tokens_.end(), [&](const auto& a, const auto& b) {
    const size_t of_a = of_identity.at(a.second.spiffe_id), of_b = of_identity.at(b.second.spiffe_id);
    return of_a != of_b ? of_a < of_b : a.second.fresh_until > b.second.fresh_until;
  }));
}

void MintedJwts::DropUntrusted(const sds::Trust& trust) {
  MutexLock lock(mutex_);
  const std::vector<JwtKey>& keys = trust.domains.front().jwt_keys;
  absl::erase_if(tokens_, [&](const auto& one) {
    return std::none_of(keys.begin(), keys.end(), [&](const JwtKey& key) { return key.key_id == one.second.kid; });
  });
}

void MintedJwts::StopServing(const std::vector<std::string>& spiffe_ids, const std::string& reason) {
  std::vector<Done> waiting;
  {
    MutexLock lock(mutex_);
    const auto stopped = [&](const std::string& id) {
      return std::find(spiffe_ids.begin(), spiffe_ids.end(), id) != spiffe_ids.end();
    };
    absl::erase_if(tokens_, [&](const auto& one) { return stopped(one.second.spiffe_id); });
    for (auto& [key, minting] : minting_) {
      if (!stopped(minting.wish.id.uri())) continue;
      for (Done& done : minting.waiting) waiting.push_back(std::move(done));
      minting.waiting.clear();
    }
    absl::erase_if(minting_, [](const auto& one) { return one.second.waiting.empty(); });
    waiting_ -= waiting.size();
  }
  for (Done& done : waiting) {
    std::move(done)(absl::UnavailableError(absl::StrCat(
        "certificates of this identity were taken back while the token was minted (", reason, "); ask again")));
  }
}

size_t MintedJwts::size() const {
  MutexLock lock(mutex_);
  return tokens_.size();
}

}  // namespace meshca::agent
