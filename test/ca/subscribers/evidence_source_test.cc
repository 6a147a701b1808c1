// A rotation sees what all sources know.
#include "ca/subscribers/evidence_source.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::Field;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class ListedSource final : public EvidenceSource {
 public:
  explicit ListedSource(std::vector<std::string> shared = {}) : shared_(std::move(shared)) {}
  void Add(std::string instance, TrustVersion version) {
    records_.emplace_back();
    records_.back().instance = std::move(instance);
    records_.back().trust_version = version;
  }
  std::vector<SubscriberRecord> List() const override { return records_; }
  std::vector<std::string> SharedKeyInstances() const override { return shared_; }

 private:
  const std::vector<std::string> shared_;
  std::vector<SubscriberRecord> records_;
};

testing::Matcher<SubscriberRecord> Holds(const std::string& instance, TrustVersion version) {
  return testing::AllOf(Field(&SubscriberRecord::instance, instance), Field(&SubscriberRecord::trust_version, version));
}

TEST(EvidenceUnion, HoldsEverybodyThatAnySourceKnows) {
  ListedSource none, streams, replica;
  streams.Add("a", 7);
  streams.Add("b", 8);
  replica.Add("c", 6);
  EXPECT_THAT(EvidenceUnion({&none, &streams, &replica}).List(),
              UnorderedElementsAre(Holds("a", 7), Holds("b", 8), Holds("c", 6)));
  EXPECT_THAT(EvidenceUnion({}).List(), IsEmpty());
}

TEST(EvidenceUnion, KnowsTheSharedKeysOfEverySource) {
  const ListedSource here({"shared-here"}), there({"shared-there"}), agents;
  EXPECT_THAT(EvidenceUnion({&here, &agents, &there}).SharedKeyInstances(),
              UnorderedElementsAre("shared-here", "shared-there"));
}

TEST(EvidenceUnion, OneThatTwoSourcesKnowCountsAsBothSay) {
  ListedSource here, there;
  here.Add("a", 8);
  there.Add("a", 7);
  EXPECT_THAT(EvidenceUnion({&here, &there}).List(), UnorderedElementsAre(Holds("a", 8), Holds("a", 7)))
      << "the slower of the two may be the one that is right";
}

}  // namespace
}  // namespace meshca
