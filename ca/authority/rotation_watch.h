// Observes the present step of a rotation: who is behind, and since when nobody is.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_WATCH_H_
#define MESHCA_CA_AUTHORITY_ROTATION_WATCH_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/clock_watch.h"
#include "ca/authority/key_reissuer.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/base/clock.h"
#include "ca/subscribers/evidence_source.h"

namespace meshca {

// What was found out about the step of a rotation at one moment.
struct RotationView {
  RotationFacts facts;
  RotationEvidence evidence;
  uint64_t reissue_left = 0;  // keys that subscribers hold and that still have to be replaced
};

// Remembers since when the evidence is complete, and begins again with each step and each process: a server that was
// just started waits for a whole settling time (EvidencePolicy::settle) before it moves. One thread at a time, except
// policy, advisor, reissue_per_second, FindRunning, BelievedNow, GatherFacts and GatherEvidence, which any thread may
// call.
class RotationWatch {
 public:
  struct Parts {
    const AuthoritySnapshots* authorities = nullptr;
    const ClockWatch* clock = nullptr;
    LeafInventory* inventory = nullptr;
    const EvidenceSource* evidence = nullptr;
    KeyReissuer* reissuer = nullptr;
    EvidencePolicy policy;
    double reissue_per_second = 500;
    const RotationAdvisor* advisor = nullptr;  // null: nobody knows more
    std::string own_spiffe_id;                 // of the CA's own TLS certificate, which is left out of the evidence
  };
  // Everything in `parts` outlives the watch.
  explicit RotationWatch(Parts parts) : parts_(std::move(parts)) {}

  const EvidencePolicy& policy() const { return parts_.policy; }
  const RotationAdvisor* advisor() const { return parts_.advisor; }
  double reissue_per_second() const { return parts_.reissue_per_second; }

  // The rotation of the present snapshot that has not ended; nullopt: none runs.
  std::optional<RootRotation> FindRunning() const;
  // The time, for everything that moves a rotation on. FailedPrecondition (reason ROTATION_FROZEN): the clock cannot be
  // believed.
  absl::StatusOr<absl::Time> BelievedNow() const;

  // The authorities and the subscribers as they are now.
  RotationFacts GatherFacts(const RootRotation& rotation, absl::Time now) const;
  // Judges `facts`, and the live leaves if the step depends on them. Blocks on the inventory and returns its errors.
  absl::StatusOr<RotationEvidence> GatherEvidence(EvidenceJudge::For step, const RotationFacts& facts) const;

  // Judges the present step of `rotation`, and remembers since when its evidence is complete. In the steps reissue and
  // drain it also schedules the replacement of stale keys. Blocks on the inventory and returns its errors.
  absl::StatusOr<RotationView> JudgeStep(const RootRotation& rotation, absl::Time now);
  // Goes on with that replacement between two judgements, without reading the inventory: the pace of the budget must
  // not depend on how long that takes. When nothing is left, the step is judged at once.
  void GoOnReplacingKeys(const RootRotation& rotation);
  // DecideNextAct for `view`, which is the newest that JudgeStep returned.
  RotationDecision DecideNext(const RotationView& view, absl::Time retire_not_before) const;
  // How much longer the evidence of the newest view has to stay complete; zero or less: long enough. Infinite: it is
  // not complete.
  absl::Duration SettlingLeft() const;
  // Estimates from `view` when the step will end; InfiniteFuture: it cannot be known. `retire_not_before`:
  // DecideNext's.
  absl::Time EstimateEnd(const RotationView& view, absl::Time retire_not_before) const;

  // Whether the step was judged so recently that it is not worth doing again yet: an inventory of millions of leaves
  // takes seconds to read.
  bool WasJustJudged(const RootRotation& rotation) const;
  // Until the next judgement, or until the next keys may be replaced.
  absl::Duration UntilNextTurn() const;
  // Makes WasJustJudged false: a step was taken, or an operator gave a command.
  void JudgeAgainAtOnce() { next_judgement_ = -absl::InfiniteDuration(); }

 private:
  const Clock& clock() const { return parts_.clock->clock(); }
  // Sets facts.grace_ends and facts.reissue_ends of an emergency.
  void SetEndsOfWaiting(uint64_t reissue_left, RotationFacts& facts) const;
  // How many keys are left after it.
  uint64_t ReplaceKeys(const RootRotation& rotation) const;

  const Parts parts_;
  // About the step that was judged last. Times are since boot, so a jump of the wall clock does not move them.
  uint64_t number_ = 0;
  RotationStep step_ = RotationStep::kDone;
  absl::Duration whole_since_ = absl::InfiniteDuration();  // since when its evidence is complete, without a gap
  absl::Duration first_judged_;                            // when this process judged it first
  uint64_t reissue_at_first_ = 0;                          // keys that had to be replaced at that time
  uint64_t reissue_left_ = 0;                              // keys that had to be replaced when they were counted last
  absl::Duration next_judgement_ = -absl::InfiniteDuration();
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_WATCH_H_
