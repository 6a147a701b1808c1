// Decides whether a root rotation may take its next step: pure functions of what is known.
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
#include "ca/authority/rotation_advisor.h"
#include "ca/subscribers/laggard.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

struct EvidencePolicy {
  // How long the evidence of a step must have been complete before the step is taken: handshakes that began before the
  // last acknowledgement still finish with the earlier bundle.
  absl::Duration settle = absl::Seconds(2);
  // A certificate counts as alive for this long after its notAfter: a holder whose clock is behind still shows it.
  absl::Duration skew = absl::Minutes(10);
  // How long an instance counts that left and never had a certificate from us: the longest life of one that it may have
  // got elsewhere.
  absl::Duration leaf_lifetime = absl::Hours(24);
  // How long a silent subscriber can hold up one step of an emergency.
  absl::Duration emergency_grace = absl::Minutes(5);
};

// Until when `subscriber`, which has left, counts in a rotation: its certificate may be alive until then.
absl::Time RememberedUntil(const SubscriberRecord& subscriber, const EvidencePolicy& policy);

// What an operator can do about a connected subscriber that is behind, or about one that has left: a sentence.
std::string EvictionAdvice(const SubscriberRecord& subscriber);

// An issuing authority that was exported: what it signed is unknown, so it counts itself.
struct ExportedFact {
  std::string id;
  std::string root_id;
  std::string serial;
  absl::Time exported_at;
  absl::Time ends;
};

// "issuing authority 3fa9...": how a laggard and a warning name it.
std::string ExportedName(const ExportedFact& exported);

// What is known at one moment. Leaves are not in it: there may be millions, so EvidenceJudge gets them one by one.
struct RotationFacts {
  absl::Time now;
  RootRotation rotation;
  std::vector<SubscriberRecord> subscribers;
  // EvidenceSource::SharedKeyInstances.
  std::vector<std::string> shared_key_instances;
  std::vector<ExportedFact> exported;
  std::map<std::string, std::string> root_of;  // authority id -> root id, retired ones included
  bool cross_certified = true;                 // who holds only the old root can verify what the new one signs
  // In an emergency: until when subscribers that are behind hold up the step. InfiniteFuture: for as long as they are
  // behind.
  absl::Time grace_ends = absl::InfiniteFuture();
  // In an emergency: when the step reissue ends, though keys are left that could not be replaced.
  absl::Time reissue_ends = absl::InfiniteFuture();
};

// Finds out who is behind at a step of a rotation. The constructor judges the subscribers, by what they have
// acknowledged, and exported authorities under the old root. The live leaves are then given to AddLeaf one by one; a
// leaf whose holder is one of the subscribers, or which several of them share, is ignored, because the subscribers were
// judged already; and so is one whose holder is gone. One thread at a time.
class EvidenceJudge {
 public:
  enum class For {
    // To activate: every instance holds a bundle with both roots, and no leaf from before that bundle was published, or
    // from so shortly after it (ten times the settling time) that its answer may have held the bundle of before, is
    // alive. In an emergency with a cross-certificate only connected instances are asked, and no leaves. An exported
    // authority counts where there is no cross-certificate and nobody gave his word for what cannot be seen.
    kActivation,
    // To retire: besides, every instance that takes a key holds one under the new root, and no live leaf or exported
    // authority is under the old one.
    kRetirement,
    // To end: every connected instance holds a bundle without the old root.
    kEnd,
  };

  // `facts` and `advisor` outlive the judge. `advisor` is null where nobody knows more of leaves than the inventory.
  EvidenceJudge(For step, const RotationFacts& facts, const EvidencePolicy& policy,
                const RotationAdvisor* advisor = nullptr);

  // Which leaves have to be given to AddLeaf; nullopt: the step does not depend on leaves. The CA's own TLS
  // certificate, whose SPIFFE ID is `own_spiffe_id`, is left out.
  std::optional<LeafQuery> Query(const std::string& own_spiffe_id) const;
  void AddLeaf(const LiveLeaf& leaf);

  RotationEvidence Take() && { return std::move(evidence_); }

 private:
  void Judge(const SubscriberRecord& subscriber);
  void JudgeExported(const ExportedFact& exported);
  // Why `subscriber` is behind; nullopt: it is not.
  std::optional<Laggard::Reason> WhyBehind(const SubscriberRecord& subscriber) const;
  uint64_t BundleNeeded() const;
  bool Hurried() const;
  void Add(Laggard laggard);

  const For step_;
  const RotationFacts& facts_;
  const EvidencePolicy policy_;
  const RotationAdvisor* const advisor_;
  absl::flat_hash_set<absl::string_view> known_;  // instances whose holders are among facts_.subscribers
  RotationEvidence evidence_;
};

// Whether somebody may hold the old root alone when the new one begins to sign on this evidence of an activation, and
// needs the cross-certificate to verify leaves: the evidence is not complete, the emergency did not ask everybody, or a
// subscriber takes its roots from elsewhere.
bool MayHoldOldRootAlone(const RotationFacts& facts, const RotationEvidence& evidence);

// Why an automatic step is taken although its evidence is not complete.
enum class ForcedBy { kNothing, kDeadline, kEmergencyGrace };
absl::string_view ForcedByName(ForcedBy by);  // "", "the deadline", "the emergency grace", for RootRotation::forced

// What a rotation does next.
struct RotationDecision {
  enum class Act { kWait, kPublish, kActivate, kDrain, kRetire, kFinish };
  Act act = Act::kWait;
  ForcedBy forced_by = ForcedBy::kNothing;  // kNothing: the evidence is complete, or the act needs none
  std::string waiting_for;                  // for kWait: what the step waits for, one sentence
};

// Decides for facts.rotation. `evidence` is that of its present step; `satisfied_since` is since when it has been
// complete without a gap (InfiniteFuture: it is not); `reissue_left` is how many subscribers' keys still have to be
// replaced. No root is retired before `retire_not_before` (retire_not_before.h). Pure.
RotationDecision DecideNextAct(const RotationFacts& facts, const RotationEvidence& evidence, absl::Time satisfied_since,
                               uint64_t reissue_left, absl::Time retire_not_before, const EvidencePolicy& policy);

// "2 of 3 subscribers and 14 certificates": how many are behind.
std::string BehindText(const RotationEvidence& evidence);

// Which evidence a step waits for; nullopt: none.
std::optional<EvidenceJudge::For> EvidenceFor(RotationStep step);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_
