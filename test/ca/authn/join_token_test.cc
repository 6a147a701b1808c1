#include "ca/authn/join_token.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ca/identity/join_token_text.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/fakes/counting_entropy.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

const absl::Time kNow = absl::FromUnixSeconds(1767323045);

// Answers from a map; `gate`, while closed, keeps every lookup waiting.
class FakeTokens final : public TokenStore {
 public:
  absl::Status CreateToken(const JoinToken& token, const AuditEntry&) override {
    tokens_[token.secret_sha256] = token;
    return absl::OkStatus();
  }
  absl::StatusOr<JoinToken> FindToken(absl::string_view secret_sha256) override {
    MutexLock lock(mutex_);
    ++waiting_;
    changed_.NotifyAll();
    while (closed_) changed_.Wait(mutex_);
    if (!error_.ok()) return error_;
    auto it = tokens_.find(std::string(secret_sha256));
    if (it == tokens_.end()) return absl::NotFoundError("no such token");
    return it->second;
  }
  absl::StatusOr<std::vector<JoinToken>> ListTokens() override { return std::vector<JoinToken>(); }
  absl::Status DeleteToken(absl::string_view, const AuditEntry&) override { return absl::OkStatus(); }

  void Fail(absl::Status error) { error_ = std::move(error); }
  void Close() {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  void Open() {
    MutexLock lock(mutex_);
    closed_ = false;
    changed_.NotifyAll();
  }
  int lookups() {
    MutexLock lock(mutex_);
    return waiting_;
  }
  void AwaitLookup() {
    MutexLock lock(mutex_);
    while (waiting_ == 0) changed_.Wait(mutex_);
  }

 private:
  std::map<std::string, JoinToken> tokens_;
  absl::Status error_;
  Mutex mutex_;
  CondVar changed_;
  bool closed_ = false;
  int waiting_ = 0;
};

// One verdict, waited for.
class Verdict {
 public:
  Authenticator::Done Callback() {
    return [this](absl::StatusOr<CallerIdentity> result) {
      MutexLock lock(mutex_);
      ASSERT_FALSE(result_.has_value());
      result_ = std::move(result);
      ready_.NotifyAll();
    };
  }
  const absl::StatusOr<CallerIdentity>& Wait() {
    MutexLock lock(mutex_);
    while (!result_.has_value()) ready_.Wait(mutex_);
    return *result_;
  }

 private:
  Mutex mutex_;
  CondVar ready_;
  std::optional<absl::StatusOr<CallerIdentity>> result_;
};

Credentials Bearer(absl::string_view token, std::string source = "192.0.2.7") {
  Credentials credentials;
  credentials.source = std::move(source);
  credentials.bearer_token = SecretBytes::CopyOf(token);
  return credentials;
}

std::string NewToken(FakeTokens& store, uint64_t seed = 1) {
  CountingEntropy entropy(seed);
  const SecretBytes text = MakeJoinToken(std::string(32, 'r'), entropy);
  JoinToken token;
  token.secret_sha256 = JoinTokenSha256(text.reveal());
  token.id = JoinTokenId(token.secret_sha256);
  token.spiffe_id = SpiffeId::Parse("spiffe://cluster.local/ns/default/sa/web").value();
  token.node = "node-7";
  token.expires_at = kNow + absl::Minutes(10);
  EXPECT_TRUE(store.CreateToken(token, AuditEntry()).ok());
  return std::string(text.reveal());
}

absl::StatusOr<CallerIdentity> Ask(JoinTokenAuthenticator& authenticator, absl::string_view token,
                                   absl::Time now = kNow) {
  Verdict verdict;
  authenticator.Authenticate(Bearer(token), now, verdict.Callback());
  return verdict.Wait();
}

TEST(JoinTokenText, CarriesTheRootsFingerprint) {
  CountingEntropy entropy;
  const SecretBytes token = MakeJoinToken(std::string(32, '\xf7'), entropy);
  EXPECT_EQ(token.size(), kJoinTokenPrefix.size() + 43 + 1 + 43);
  auto parts = ParseJoinToken(token.reveal());
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->root_spki_sha256, std::string(32, '\xf7'));
  const SecretBytes other = MakeJoinToken(std::string(32, '\xf7'), entropy);
  EXPECT_NE(token.reveal(), other.reveal());
}

TEST(JoinTokenText, IdIsTheStartOfTheHash) {
  const std::string hash = JoinTokenSha256("abc");  // FIPS 180-4's example
  EXPECT_EQ(JoinTokenId(hash), "ba7816bf8f01cfea");
}

struct TokenCase {
  const char* name;
  std::string text;
  const char* words;
};

class JoinTokenMalformed : public testing::TestWithParam<TokenCase> {};

TEST_P(JoinTokenMalformed, SaysWhatIsWrongWithoutQuotingIt) {
  EXPECT_THAT(ParseJoinToken(GetParam().text), Refuses(Code::kInvalidArgument, "TOKEN_MALFORMED", GetParam().words));
  FakeTokens store;
  JoinTokenAuthenticator authenticator(store);
  EXPECT_THAT(Ask(authenticator, GetParam().text),
              Refuses(Code::kUnauthenticated, "TOKEN_MALFORMED", GetParam().words));
}

const char kPart[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";  // 43 characters

INSTANTIATE_TEST_SUITE_P(
    Forms, JoinTokenMalformed,
    testing::Values(
        TokenCase{"Empty", "", "does not begin"}, TokenCase{"Other", "eyJhbGciOiJub25lIn0.e30.", "does not begin"},
        TokenCase{"NewerVersion", "meshca-jt2.abc", "of a version"},
        TokenCase{"PrefixAlone", "meshca-jt1.", "ends too early"},
        TokenCase{"OnePart", std::string("meshca-jt1.") + kPart, "ends too early"},
        TokenCase{"ShortSecret", std::string("meshca-jt1.AAAA.") + kPart, "first part"},
        TokenCase{"ShortRoot", std::string("meshca-jt1.") + kPart + ".AAAA", "last part"},
        TokenCase{"ThreeParts", std::string("meshca-jt1.") + kPart + "." + kPart + ".x", "last part"},
        TokenCase{"TrailingSpace", std::string("meshca-jt1.") + kPart + "." + kPart + " ", "last part"},
        TokenCase{"StandardAlphabet", std::string("meshca-jt1.+") + (kPart + 1) + "." + kPart, "first part"},
        // The last character has two bits that no byte holds: a second spelling of the same secret.
        TokenCase{"StrayBits", std::string("meshca-jt1.") + std::string(42, 'A') + "B." + kPart, "first part"}),
    [](const auto& info) { return info.param.name; });

TEST(JoinToken, GivesItsOneId) {
  FakeTokens store;
  const std::string text = NewToken(store);
  JoinTokenAuthenticator authenticator(store);
  ASSERT_TRUE(authenticator.Recognises(Bearer(text)));
  auto caller = Ask(authenticator, text);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->method, AuthMethod::kJoinToken);
  ASSERT_EQ(caller->ids.size(), 1u);
  EXPECT_EQ(caller->ids[0].uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_FALSE(caller->any_id_of_trust_domain);
  EXPECT_EQ(caller->token_id, JoinTokenId(JoinTokenSha256(text)));
  EXPECT_EQ(caller->subject, "token " + caller->token_id);
  EXPECT_EQ(caller->node, "node-7");
  EXPECT_FALSE(caller->IsRenewal());
}

TEST(JoinToken, TheOriginOfTheRightIsTheToken) {
  FakeTokens store;
  const std::string text = NewToken(store);
  JoinTokenAuthenticator authenticator(store);
  auto caller = Ask(authenticator, text);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->OriginOf(caller->ids[0]), (Origin{OriginKind::kJoinToken, JoinTokenId(JoinTokenSha256(text))}));
}

TEST(JoinToken, UnknownIsUnauthenticated) {
  FakeTokens store;
  NewToken(store, 1);
  FakeTokens elsewhere;
  const std::string text = NewToken(elsewhere, 2);
  JoinTokenAuthenticator authenticator(store);
  EXPECT_THAT(Ask(authenticator, text),
              Refuses(Code::kUnauthenticated, "TOKEN_UNKNOWN", "meshca token create --node NODE"));
}

TEST(JoinToken, ExpiresToTheSecond) {
  FakeTokens store;
  const std::string text = NewToken(store);
  JoinTokenAuthenticator authenticator(store);
  EXPECT_TRUE(Ask(authenticator, text, kNow + absl::Minutes(10) - absl::Nanoseconds(1)).ok());
  EXPECT_THAT(Ask(authenticator, text, kNow + absl::Minutes(10)),
              Refuses(Code::kUnauthenticated, "TOKEN_EXPIRED", "expired at 2026-01-02T03:14:05Z"));
}

TEST(JoinToken, StoreAwayIsUnavailable) {
  FakeTokens store;
  const std::string text = NewToken(store);
  store.Fail(absl::UnavailableError("disk full"));
  JoinTokenAuthenticator authenticator(store);
  EXPECT_THAT(Ask(authenticator, text), Refuses(Code::kUnavailable, "", "join token: disk full"));
}

TEST(JoinToken, FullQueueAnswersAtOnce) {
  FakeTokens store;
  const std::string text = NewToken(store);
  store.Close();
  Verdict looked_up, queued, refused;
  {
    JoinTokenAuthenticator authenticator(store, {.threads = 1, .places_max = 2});
    authenticator.Authenticate(Bearer(text), kNow, looked_up.Callback());
    store.AwaitLookup();
    authenticator.Authenticate(Bearer(text), kNow, queued.Callback());
    authenticator.Authenticate(Bearer(text), kNow, refused.Callback());
    EXPECT_THAT(refused.Wait(), Refuses(Code::kResourceExhausted, "AUTHENTICATION_QUEUE_FULL", "retry"));
    store.Open();
  }
  EXPECT_TRUE(looked_up.Wait().ok());
  // The queued one was answered too: judged, or told that the server goes.
  EXPECT_TRUE(queued.Wait().ok() || absl::IsUnavailable(queued.Wait().status()));
}

TEST(JoinToken, ASourceBeyondItsShareIsRefusedAndOthersAreNot) {
  FakeTokens store;
  const std::string text = NewToken(store);
  store.Close();
  Verdict looked_up, queued, refused, other;
  JoinTokenAuthenticator authenticator(store, {.threads = 1, .places_per_source_max = 2});
  authenticator.Authenticate(Bearer(text), kNow, looked_up.Callback());
  store.AwaitLookup();
  authenticator.Authenticate(Bearer(text), kNow, queued.Callback());
  authenticator.Authenticate(Bearer(text), kNow, refused.Callback());
  EXPECT_THAT(refused.Wait(), Refuses(Code::kResourceExhausted, "AUTHENTICATION_SHARE_USED",
                                      "2 join tokens from 192.0.2.7 wait to be verified"));
  authenticator.Authenticate(Bearer(text, "198.51.100.9"), kNow, other.Callback());
  store.Open();
  EXPECT_TRUE(other.Wait().ok());
  EXPECT_TRUE(queued.Wait().ok());
}

TEST(JoinToken, WhatNobodyWaitsForIsNotLookedUp) {
  FakeTokens store;
  const std::string text = NewToken(store);
  JoinTokenAuthenticator authenticator(store);
  Verdict verdict;
  Credentials credentials = Bearer(text);
  credentials.abandoned = [] { return true; };
  authenticator.Authenticate(std::move(credentials), kNow, verdict.Callback());
  EXPECT_TRUE(absl::IsCancelled(verdict.Wait().status()));
  EXPECT_EQ(store.lookups(), 0);
}

TEST(JoinToken, LeavesOtherTokensAlone) {
  FakeTokens store;
  JoinTokenAuthenticator authenticator(store);
  EXPECT_FALSE(authenticator.Recognises(Bearer("")));
  EXPECT_FALSE(authenticator.Recognises(Bearer("eyJhbGciOiJSUzI1NiJ9.e30.AA")));
  EXPECT_TRUE(authenticator.Recognises(Bearer("meshca-jt9.what-a-newer-server-makes")));
}

}  // namespace
}  // namespace meshca
