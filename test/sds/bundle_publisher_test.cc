// Who hears of which trust, and in which order.
#include "sds/bundle_publisher.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/sds/fake_edge.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RecordingWatcher final : public BundleWatcher {
 public:
  void OnMessage(absl::string_view) override {}
  void OnHalfClose() override {}
  void OnClose(const absl::Status&) override {}
  void OnEvicted(const absl::Status&) override {}
  void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) override { told.push_back(bundles->version); }
  std::vector<TrustVersion> told;
};

// A stream that watches a publisher.
class Watching {
 public:
  explicit Watching(FakeLoop& loop) : stream_(loop, nullptr) { stream_.Attach(std::make_unique<RecordingWatcher>()); }
  std::shared_ptr<const BundleSecrets> Start(BundlePublisher& publisher) {
    return publisher.StartWatching({stream_, watcher()}, watch);
  }
  const std::vector<TrustVersion>& told() { return watcher().told; }

  BundlePublisher::Watch watch;

 private:
  RecordingWatcher& watcher() { return static_cast<RecordingWatcher&>(stream_.handler()); }
  FakeStream stream_;
};

std::shared_ptr<const Trust> TrustOfVersion(TrustVersion version) {
  return std::make_shared<const Trust>(Trust{version, {{Domain("td.test"), {RootA().der()}, {}}}});
}

TEST(BundlePublisher, HasNothingUntilTheSourceKnowsWhatIsTrusted) {
  FakeTrust trust;
  FakeLoop loop;
  BundlePublisher publisher(trust);
  publisher.Start();
  Watching early(loop);
  EXPECT_EQ(publisher.Current(), nullptr);
  EXPECT_EQ(early.Start(publisher), nullptr);
  EXPECT_FALSE(early.watch) << "nothing to watch yet";
  trust.Publish({RootA()});
  ASSERT_NE(publisher.Current(), nullptr);
  EXPECT_EQ(publisher.Current()->version, 1u);
}

TEST(BundlePublisher, ServesTheRootsUnderEachNameThereIs) {
  FakeTrust trust;
  trust.Publish(std::make_shared<const Trust>(
      Trust{9, {{Domain("td.test"), {RootA().der()}, {}}, {Domain("other.test"), {RootB().der()}, {}}}}));
  BundlePublisher publisher(trust);
  publisher.Start();
  const std::shared_ptr<const BundleSecrets> bundles = publisher.Current();
  for (const char* name : {"ROOTCA", "spiffe://td.test", "spiffe://TD.test"}) {
    const auto found = bundles->Find({name, SecretKind::kBundle, {}});
    EXPECT_EQ(found->name(), name);
    EXPECT_EQ(found->content(), bundles->root_ca->content());
    EXPECT_EQ(found->content()->trust_version(), 9u);
    EXPECT_EQ(bundles->IsShared(*found), found->name() != "spiffe://TD.test");
  }
  EXPECT_EQ(bundles->Find({"ALL", SecretKind::kAllBundles, {}}), bundles->all);
  EXPECT_EQ(bundles->all->content()->trust_version(), 9u);
}

TEST(BundlePublisher, WhoWatchesHearsOfEveryLaterVersionOnItsOwnLoop) {
  FakeTrust trust;
  trust.Publish({RootA()});
  FakeLoop loop;
  BundlePublisher publisher(trust);
  publisher.Start();
  Watching one(loop), two(loop);
  EXPECT_EQ(one.Start(publisher)->version, 1u);
  EXPECT_EQ(one.Start(publisher)->version, 1u) << "again is no second watch";
  trust.Publish({RootA(), RootB()});
  EXPECT_EQ(two.Start(publisher)->version, 2u);
  trust.Publish({RootB()});
  EXPECT_THAT(one.told(), IsEmpty()) << "its loop has not run yet";
  loop.Drain();
  EXPECT_THAT(one.told(), ElementsAre(2, 3));
  EXPECT_THAT(two.told(), ElementsAre(3));
}

TEST(BundlePublisher, WhoWasToldAVersionNeverHearsOfItAgainNorOfOneBeforeIt) {
  FakeTrust trust;
  trust.Publish(TrustOfVersion(5));
  FakeLoop loop;
  BundlePublisher publisher(trust);
  publisher.Start();
  Watching stream(loop);
  stream.Start(publisher);
  trust.PublishAgain();
  trust.Publish(TrustOfVersion(4));
  loop.Drain();
  EXPECT_THAT(stream.told(), IsEmpty());
  EXPECT_EQ(publisher.Current()->version, 5u);
  trust.Publish(TrustOfVersion(6));
  loop.Drain();
  EXPECT_THAT(stream.told(), ElementsAre(6));
}

TEST(BundlePublisher, WhoseWatchHasEndedHearsNoMoreAndItsPlaceGoesToTheNext) {
  FakeTrust trust;
  trust.Publish({RootA()});
  FakeLoop loop;
  BundlePublisher publisher(trust);
  publisher.Start();
  Watching first(loop), second(loop), third(loop);
  first.Start(publisher);
  second.Start(publisher);
  first.watch.End();
  EXPECT_FALSE(first.watch);
  trust.Publish({RootA(), RootB()});
  third.Start(publisher);
  trust.Publish({RootB()});
  loop.Drain();
  EXPECT_THAT(first.told(), IsEmpty());
  EXPECT_THAT(second.told(), ElementsAre(2, 3));
  EXPECT_THAT(third.told(), ElementsAre(3)) << "what was published for the stream before it is not for this one";
}

TEST(BundlePublisher, AWatchMovesAndEndsOnce) {
  FakeTrust trust;
  trust.Publish({RootA()});
  FakeLoop loop;
  BundlePublisher publisher(trust);
  publisher.Start();
  Watching moved(loop), other(loop);
  moved.Start(publisher);
  {
    BundlePublisher::Watch elsewhere = std::move(moved.watch);
    EXPECT_FALSE(moved.watch);
    EXPECT_TRUE(elsewhere);
    trust.Publish({RootA(), RootB()});
    loop.Drain();
    EXPECT_THAT(moved.told(), ElementsAre(2));
  }
  other.Start(publisher);  // in the place that is free now
  moved.watch.End();
  trust.Publish({RootB()});
  loop.Drain();
  EXPECT_THAT(moved.told(), ElementsAre(2));
  EXPECT_THAT(other.told(), ElementsAre(3));
}

}  // namespace
}  // namespace meshca::sds
