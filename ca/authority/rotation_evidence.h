// Whether a rotation may go on: pure functions of what is known.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_
#define MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/authority/root_rotation.h"
#include "ca/subscribers/laggard.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

struct EvidencePolicy {
  // How long the evidence of a step must have held: handshakes begun before the last acknowledgement finish under the
  // bundle before it.
  absl::Duration settle = absl::Seconds(2);
  // A certificate counts as alive for this much longer than it says: its holder's clock may be behind, and then it
  // still shows the certificate.
  absl::Duration skew = absl::Minutes(10);
  // How long an instance that left and never had a certificate counts: one longest life of the one it may have got
  // elsewhere.
  absl::Duration leaf_lifetime = absl::Hours(24);
  // How long a subscriber that is silent can hold up one step of an emergency.
  absl::Duration emergency_grace = absl::Minutes(5);
};

// What the judgement of one moment rests on. Leaves are streamed past it, because there may be millions.
struct RotationFacts {
  absl::Time now;
  RootRotation rotation;
  std::vector<SubscriberRecord> subscribers;
  std::map<std::string, std::string> root_of;  // authority id -> root id, retired ones included
  bool cross_certified = true;                 // holders of the old root alone can verify what the new one signs
  // In an emergency: subscribers that are behind hold its step up until then, and no longer. InfiniteFuture: for as
  // long as they are behind.
  absl::Time grace_ends = absl::InfiniteFuture();
  // In an emergency: keys that are not replaced by then have had their time and more.
  absl::Time reissue_ends = absl::InfiniteFuture();
};

// Gathers the evidence that a step needs before it may end. The constructor judges the subscribers, by what they have
// acknowledged. The live leaves are then given to AddLeaf one by one; a leaf whose holder is one of the subscribers is
// left out, because the subscriber was judged already. One thread.
class EvidenceJudge {
 public:
  enum class For {
    // Every instance holds a bundle with both roots; leaves from before it was published are gone. In an emergency the
    // connected ones are enough, where the others can verify by the cross-certificate.
    kActivation,
    kRetirement,  // and where it takes a key, holds one under the new root; no leaf is left under the old one
    kEnd,         // every connected instance holds a bundle without the old root
  };

  // `facts` outlives the judge.
  EvidenceJudge(For step, const RotationFacts& facts, const EvidencePolicy& policy);

  // Which leaves have to be given to AddLeaf; nothing: none, the step does not depend on leaves. The CA's own TLS
  // certificate, whose SPIFFE ID is `own_spiffe_id`, is not among them.
  std::optional<LeafQuery> Query(const std::string& own_spiffe_id) const;
  void AddLeaf(const LiveLeaf& leaf);

  RotationEvidence Take() && { return std::move(evidence_); }

 private:
  void Judge(const SubscriberRecord& subscriber);
  // What holds `subscriber` back, if anything.
  std::optional<Laggard::Reason> WhyBehind(const SubscriberRecord& subscriber) const;
  uint64_t BundleNeeded() const;
  bool Hurried() const;
  void Add(Laggard laggard);

  const For step_;
  const RotationFacts& facts_;
  const EvidencePolicy policy_;
  absl::flat_hash_set<absl::string_view> known_;  // instances of facts_.subscribers
  RotationEvidence evidence_;
};

// Why a rotation goes on by itself though the evidence of its step is not whole.
enum class ForcedBy { kNothing, kDeadline, kEmergencyGrace };
absl::string_view ForcedByName(ForcedBy by);  // "", "the deadline", "the emergency grace": as the record has it

// What a rotation does next.
struct RotationDecision {
  enum class Act { kWait, kPublish, kActivate, kDrain, kRetire, kFinish };
  Act act = Act::kWait;
  ForcedBy forced_by = ForcedBy::kNothing;  // kNothing: the evidence is whole
  std::string waiting_for;                  // for kWait: what the step waits for, one sentence
};

// The rotation that runs; `evidence` is that of its step. `satisfied_since`: since when that has been whole, without a
// gap; InfiniteFuture while it is not. `retire_not_before`: after a restore, no root is retired for a while.
RotationDecision DecideNextAct(const RotationFacts& facts, const RotationEvidence& evidence, absl::Time satisfied_since,
                               uint64_t reissue_left, absl::Time retire_not_before, const EvidencePolicy& policy);

// "2 of 3 subscribers and 14 certificates": how many are behind.
std::string BehindText(const RotationEvidence& evidence);

// Which evidence the step waits for; nothing: none.
std::optional<EvidenceJudge::For> EvidenceFor(RotationStep step);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_
