// The authorities' snapshots as values of trust.
#include "cli/server/authority_trust_source.h"

#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Authorities that tell their listeners.
class ListenedAuthorities final : public AuthoritySnapshots {
 public:
  std::shared_ptr<const AuthoritySnapshot> Current() const override { return current_; }
  void AddListener(Listener listener) override { listeners_.push_back(std::move(listener)); }
  void Publish(std::shared_ptr<const AuthoritySnapshot> next) {
    current_ = std::move(next);
    for (const Listener& listener : listeners_) listener(current_);
  }

 private:
  std::shared_ptr<const AuthoritySnapshot> current_;
  std::vector<Listener> listeners_;
};

TEST(AuthorityTrustSource, KnowsNothingBeforeTheCaHasStarted) {
  ListenedAuthorities authorities;
  EXPECT_EQ(AuthorityTrustSource(authorities).Current(), nullptr);
  authorities.Publish(std::make_shared<AuthoritySnapshot>());
  EXPECT_EQ(AuthorityTrustSource(authorities).Current(), nullptr) << "a snapshot without a bundle";
}

TEST(AuthorityTrustSource, TheTrustIsTheBundleAndItsVersionTheSequenceNumber) {
  const auto snapshot = std::make_shared<AuthoritySnapshot>(*NewSnapshot(FakeClock().Now(), /*revision=*/3));
  auto bundle = std::make_shared<TrustBundle>(*snapshot->bundle);
  bundle->sequence_number = 41;
  bundle->roots.push_back(NewSnapshot(FakeClock().Now())->bundle->roots.front());
  snapshot->bundle = bundle;
  ListenedAuthorities authorities;
  authorities.Publish(snapshot);

  const std::shared_ptr<const sds::Trust> trust = AuthorityTrustSource(authorities).Current();
  ASSERT_NE(trust, nullptr);
  EXPECT_EQ(trust->version, 41u);
  ASSERT_EQ(trust->domains.size(), 1u);
  const sds::DomainTrust& own = trust->domains.front();
  EXPECT_EQ(own.trust_domain, TestDomain());
  EXPECT_THAT(own.roots, ElementsAre(bundle->roots[0].der(), bundle->roots[1].der())) << "in the bundle's order";
  EXPECT_THAT(own.jwt_keys, IsEmpty());
  EXPECT_EQ(own.RootsPem(), bundle->ToPem()) << "the same file as the bundle's";
}

TEST(AuthorityTrustSource, TellsEveryBundleAndRepeatsTheVersionWhereOnlyTheSignerChanges) {
  ListenedAuthorities authorities;
  AuthorityTrustSource source(authorities);
  std::vector<TrustVersion> told;
  source.AddListener([&](const std::shared_ptr<const sds::Trust>& trust) { told.push_back(trust->version); });

  authorities.Publish(std::make_shared<AuthoritySnapshot>());
  EXPECT_THAT(told, IsEmpty()) << "there is no bundle to tell of";
  const auto first = NewSnapshot(FakeClock().Now(), 1);
  authorities.Publish(first);
  auto other_signer = std::make_shared<AuthoritySnapshot>(*first);
  other_signer->revision = 2;
  other_signer->issuing = nullptr;
  authorities.Publish(other_signer);
  authorities.Publish(NewSnapshot(FakeClock().Now(), 3));
  EXPECT_THAT(told, ElementsAre(1, 1, 3));
}

}  // namespace
}  // namespace meshca::cli
