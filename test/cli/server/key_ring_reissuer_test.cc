// A rotation's question reaches the keys that subscribers hold.
#include "cli/server/key_ring_reissuer.h"

#include <atomic>
#include <future>
#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "test/ca/spiffe/test_domain.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

// Signs for everybody, by the authority "old".
class OldSigner final : public sds::SvidSource {
 public:
  void Obtain(sds::SvidRequest request, const SigningKey& key, Done done) override {
    sds::Svid svid;
    svid.serial = "0a";
    svid.authority_id = "old";
    svid.validity = {FakeClock().Now(), FakeClock().Now() + absl::Hours(24)};
    std::move(done)(std::move(svid));
  }
};

TEST(KeyRingReissuer, CountsTheHeldKeysOfTheAuthoritiesThatAreStale) {
  const FakeClock clock;
  CountingEntropy entropy;
  OldSigner signer;
  SerialExecutor executor(clock);
  sds::KeyRing keys(
      {}, signer,
      [](const rpc::Peer&, Authenticator::Done done) { std::move(done)(absl::UnavailableError("nobody is known")); },
      {}, clock, entropy, executor);
  executor.Start();
  auto caller = std::make_shared<sds::SdsCaller>();
  caller->peer = std::make_shared<rpc::Peer>();
  std::promise<void> made;
  std::atomic<bool> told = false;
  sds::SecretContent::Ptr current;
  const sds::KeyRing::Lease lease = keys.Hold(
      {"instance", "node", caller}, *SpiffeId::FromParts(TestDomain(), "/web"),
      [&](const absl::StatusOr<sds::SecretContent::Ptr>&) {
        if (!told.exchange(true)) made.set_value();  // a successor is told of as well
      },
      &current);
  made.get_future().wait();

  KeyRingReissuer reissuer(keys);
  const auto is_old = [](absl::string_view authority) { return authority == "old"; };
  const auto is_other = [](absl::string_view authority) { return authority != "old"; };
  EXPECT_EQ(reissuer.Reissue(is_other, /*per_second=*/1e-6).left, 0u);
  EXPECT_EQ(reissuer.Reissue(is_old, /*per_second=*/1e-6).left, 1u);
  keys.Shutdown();
  executor.Shutdown();
}

}  // namespace
}  // namespace meshca::cli
