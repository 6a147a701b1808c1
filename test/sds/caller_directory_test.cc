// Who a caller is, and that it stays who it was when its certificate is renewed.
#include "sds/caller_directory.h"

#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "ca/base/status.h"
#include "gtest/gtest.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

// Certificates and their parents as a test says; counts what it is asked.
class FakeCertificates final : public CallerCertificates {
 public:
  absl::StatusOr<CertificateAncestry> Judge(const PresentedCertificate& shown,
                                            const std::shared_ptr<const TrustedOrigins>&) override {
    asked_on = std::this_thread::get_id();
    if (!why.ok()) return why;
    return CertificateAncestry{parents[shown.serial], line};
  }
  absl::StatusOr<std::string> ParentOf(absl::string_view serial) override {
    ++steps;
    const auto found = parents.find(std::string(serial));
    if (found == parents.end()) return absl::NotFoundError("no such certificate");
    return found->second;
  }

  std::map<std::string, std::string> parents;
  std::string line;
  absl::Status why;
  int steps = 0;
  std::thread::id asked_on;
};

class CallerDirectoryTest : public testing::Test {
 protected:
  CallerDirectoryTest() { executor_.Start(); }
  ~CallerDirectoryTest() override { executor_.Shutdown(); }

  absl::StatusOr<std::shared_ptr<const SdsCaller>> Authenticate(std::shared_ptr<const rpc::Peer> peer) {
    std::promise<absl::StatusOr<std::shared_ptr<const SdsCaller>>> answer;
    directory_.Authenticate(std::move(peer), "node-1", [&](absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) {
      answer.set_value(std::move(caller));
    });
    return answer.get_future().get();
  }

  // A client certificate of web's, which is a renewal of `parent`: who shows it, and its serial number.
  std::pair<std::shared_ptr<const rpc::Peer>, std::string> Renewal(const std::string& parent) {
    const auto peer = world_.ForgedTlsPeer(Id("spiffe://td.test/web"));
    const std::string serial = std::static_pointer_cast<const VerifiedPeer>(peer->identity)->leaf.serial_hex();
    certificates_.parents[serial] = parent;
    return {peer, serial};
  }

  // The holder of `caller` becomes a subscriber that is known.
  SubscriberRegistry::Member Subscribe(const SdsCaller& caller) {
    return *world_.registry->Join(directory_.InstanceOf(caller, Taking::kStream, "node-1", {}));
  }

  World world_;
  FakeCertificates certificates_;
  SerialExecutor executor_{world_.clock};
  CallerDirectory directory_{{&world_.authenticator, &certificates_, world_.registry.get(), &world_.clock, &executor_}};
};

TEST_F(CallerDirectoryTest, AProcessOnTheSocketIsKnownAtOnceAndHasNoLineage) {
  const auto caller = Authenticate(world_.UnixPeer(1000));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ((*caller)->lineage, "");
  EXPECT_EQ((*caller)->line, "");
  EXPECT_EQ(certificates_.asked_on, std::thread::id()) << "it showed no certificate";
}

TEST_F(CallerDirectoryTest, AClientCertificateIsJudgedOnTheExecutorsThread) {
  const auto [peer, serial] = Renewal("");
  const auto caller = Authenticate(peer);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_NE(certificates_.asked_on, std::thread::id());
  EXPECT_NE(certificates_.asked_on, std::this_thread::get_id());
  EXPECT_EQ((*caller)->lineage, serial);
  EXPECT_EQ((*caller)->line, serial) << "the first of its line";
}

TEST_F(CallerDirectoryTest, WhoseCertificateIsRefusedIsNotServed) {
  const auto [peer, serial] = Renewal("");
  certificates_.why = WithReason(absl::UnauthenticatedError("revoked"), "CERTIFICATE_REVOKED");
  EXPECT_EQ(ReasonOf(Authenticate(peer).status()), "CERTIFICATE_REVOKED");
}

TEST_F(CallerDirectoryTest, ARenewedCertificateIsTheInstanceThatAnEarlierOneWas) {
  const auto [first_peer, first] = Renewal("");
  const auto before = Authenticate(first_peer);
  ASSERT_TRUE(before.ok()) << before.status();
  const SubscriberRegistry::Member member = Subscribe(**before);
  std::string parent = first;
  for (int renewal = 0; renewal < 3; ++renewal) parent = Renewal(parent).second;
  const auto [last_peer, last] = Renewal(parent);
  certificates_.line = first;
  const auto after = Authenticate(last_peer);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ((*after)->lineage, first);
  EXPECT_EQ((*after)->line, first);
  EXPECT_EQ(directory_.InstanceOf(**after, Taking::kStream, "node-1", {}).instance,
            directory_.InstanceOf(**before, Taking::kStream, "node-1", {}).instance);
}

TEST_F(CallerDirectoryTest, TheNextRenewalOfOneThatWasFollowedIsFoundInOneStep) {
  const auto [first_peer, first] = Renewal("");
  const auto before = Authenticate(first_peer);
  ASSERT_TRUE(before.ok()) << before.status();
  const SubscriberRegistry::Member member = Subscribe(**before);
  std::string parent = first;
  for (int renewal = 0; renewal < 10; ++renewal) parent = Renewal(parent).second;
  const auto [peer, serial] = Renewal(parent);
  ASSERT_TRUE(Authenticate(peer).ok());
  EXPECT_GE(certificates_.steps, 10);
  certificates_.steps = 0;
  const auto next = Authenticate(Renewal(serial).first);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ((*next)->lineage, first);
  EXPECT_LE(certificates_.steps, 1);
}

TEST_F(CallerDirectoryTest, OneOfWhomNoEarlierCertificateIsKnownIsNamedByItsOwn) {
  const auto [peer, serial] = Renewal("0102");  // of which nobody knows anything
  const auto caller = Authenticate(peer);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ((*caller)->lineage, serial);
}

TEST_F(CallerDirectoryTest, StreamsOfOneConnectionShareTheirCallerWhileItIsTheSame) {
  const auto peer = world_.UnixPeer(1000);
  const std::shared_ptr<const SdsCaller> first = *Authenticate(peer), second = *Authenticate(peer);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, *Authenticate(world_.UnixPeer(1000))) << "another connection";
  CallerIdentity changed = first->identity;
  changed.ids.pop_back();
  world_.authenticator.Set(1000, changed);
  EXPECT_NE(first, *Authenticate(peer)) << "it may have something else now";
}

TEST_F(CallerDirectoryTest, JudgingAgainAsksTheAuthenticatorsAlone) {
  const auto [peer, serial] = Renewal("");
  std::promise<absl::StatusOr<CallerIdentity>> answer;
  directory_.JudgeAgain(*peer, [&](absl::StatusOr<CallerIdentity> caller) { answer.set_value(std::move(caller)); });
  const absl::StatusOr<CallerIdentity> caller = answer.get_future().get();
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->parent_serial, serial);
  EXPECT_EQ(certificates_.asked_on, std::thread::id());
}

}  // namespace
}  // namespace meshca::sds
