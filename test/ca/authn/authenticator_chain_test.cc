#include "ca/authn/authenticator_chain.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

// Knows tokens that begin with its letter; every other word of it is refused.
class Letter final : public Authenticator {
 public:
  explicit Letter(char letter) : letter_(letter), accepts_(std::string("tokens of ") + letter) {}
  absl::string_view name() const override { return "letter"; }
  absl::string_view accepts() const override { return accepts_; }
  bool Recognises(const Credentials& credentials) const override {
    return !credentials.bearer_token.empty() && credentials.bearer_token.reveal()[0] == letter_;
  }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override {
    if (credentials.bearer_token.size() > 1) return std::move(done)(absl::UnauthenticatedError(accepts_));
    CallerIdentity caller;
    caller.subject = accepts_;
    std::move(done)(std::move(caller));
  }

 private:
  const char letter_;
  const std::string accepts_;
};

absl::StatusOr<CallerIdentity> Ask(AuthenticatorChain& chain, absl::string_view token) {
  Credentials credentials;
  credentials.bearer_token = SecretBytes::CopyOf(token);
  std::optional<absl::StatusOr<CallerIdentity>> verdict;
  chain.Authenticate(std::move(credentials), absl::UnixEpoch(),
                     [&](absl::StatusOr<CallerIdentity> result) { verdict = std::move(result); });
  return verdict.value();
}

TEST(AuthenticatorChain, TheFirstThatRecognisesDecides) {
  AuthenticatorChain chain(
      {std::make_shared<Letter>('a'), std::make_shared<Letter>('b'), std::make_shared<Letter>('b')});
  EXPECT_EQ(Ask(chain, "a")->subject, "tokens of a");
  EXPECT_EQ(Ask(chain, "b")->subject, "tokens of b");
  EXPECT_THAT(Ask(chain, "bad"), Refuses(Code::kUnauthenticated, "", "tokens of b"));
}

TEST(AuthenticatorChain, SaysWhatItAccepts) {
  AuthenticatorChain chain({std::make_shared<Letter>('a'), std::make_shared<Letter>('b')});
  EXPECT_THAT(Ask(chain, ""),
              Refuses(Code::kUnauthenticated, "CREDENTIAL_MISSING", "accepted here: tokens of a, tokens of b"));
  EXPECT_THAT(Ask(chain, "c"), Refuses(Code::kUnauthenticated, "CREDENTIAL_UNRECOGNISED",
                                       "of no kind known here; accepted here: tokens of a, tokens of b"));
  AuthenticatorChain empty(AuthenticatorChain::List{});
  EXPECT_THAT(Ask(empty, ""), Refuses(Code::kUnauthenticated, "CREDENTIAL_MISSING", "accepts no credentials"));
}

TEST(AuthenticatorChain, ReplacedOnesOutliveTheCallsInsideThem) {
  auto first = std::make_shared<Letter>('a');
  std::weak_ptr<Letter> watched = first;
  AuthenticatorChain chain({std::move(first)});
  chain.Replace({std::make_shared<Letter>('b')});
  EXPECT_FALSE(watched.expired());
  EXPECT_TRUE(Ask(chain, "b").ok());
  EXPECT_EQ(Ask(chain, "a").status().code(), Code::kUnauthenticated);
  chain.Replace({std::make_shared<Letter>('c')});
  EXPECT_TRUE(watched.expired()) << "one generation is kept, not all";
}

}  // namespace
}  // namespace meshca
