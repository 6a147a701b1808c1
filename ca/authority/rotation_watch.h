// Looks at the step that a rotation is at: who is behind, and since when nobody is.
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

// What was found about the step of a rotation at one moment.
struct RotationView {
  RotationFacts facts;
  RotationEvidence evidence;
  uint64_t reissue_left = 0;  // keys that subscribers hold here and that still have to be replaced
};

// Begins anew with the process and with each step: a freshly started server, which has just heard from its subscribers
// for the first time, waits for a whole settling time before it moves. One thread at a time; FindRunning, BelievedNow,
// GatherFacts and GatherEvidence depend on nothing that changes here, and are for any thread.
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
    std::string own_spiffe_id;  // of the CA's own TLS certificate, which is nobody's evidence
  };
  // Everything in `parts` outlives the watch.
  explicit RotationWatch(Parts parts) : parts_(std::move(parts)) {}

  const EvidencePolicy& policy() const { return parts_.policy; }
  double reissue_per_second() const { return parts_.reissue_per_second; }

  // The rotation that has not ended, as it was published last; nothing: none runs.
  std::optional<RootRotation> FindRunning() const;
  // The time, for everything that moves a rotation on. FailedPrecondition (ROTATION_FROZEN) while it cannot be
  // believed.
  absl::StatusOr<absl::Time> BelievedNow() const;

  // The authorities and the subscribers as they are now.
  RotationFacts GatherFacts(const RootRotation& rotation, absl::Time now) const;
  // Judges `facts`; reads the inventory where the step depends on it.
  absl::StatusOr<RotationEvidence> GatherEvidence(EvidenceJudge::For step, const RotationFacts& facts) const;

  // Judges the step that `rotation` is at. Orders the replacement of keys where that is its step, and keeps since when
  // the evidence is whole.
  absl::StatusOr<RotationView> JudgeStep(const RootRotation& rotation, absl::Time now);
  // What follows from the newest view.
  RotationDecision DecideNext(const RotationView& view, absl::Time retire_not_before) const;
  // How long the evidence of the newest view still has to settle; zero or less: it has.
  absl::Duration SettlingLeft() const;
  // When the step will end, from what `view` has found; InfiniteFuture: nobody can know.
  absl::Time EstimateEnd(const RotationView& view) const;

  // The step was judged so recently that judging it again would cost more than it tells: an inventory of millions of
  // leaves takes seconds to read.
  bool WasJustJudged(const RootRotation& rotation) const;
  absl::Duration UntilNextJudgement() const;
  // A step was taken, or an operator is about to ask: judge at once.
  void JudgeAgainAtOnce() { next_judgement_ = -absl::InfiniteDuration(); }

 private:
  const Clock& clock() const { return parts_.clock->clock(); }
  // How long an emergency's step can be held up, from here on.
  void SetEndsOfWaiting(uint64_t reissue_left, RotationFacts& facts) const;

  const Parts parts_;
  // Of the step that was judged last. Times are counted since boot: a wall clock that jumps moves none of them.
  uint64_t number_ = 0;
  RotationStep step_ = RotationStep::kDone;
  absl::Duration whole_since_ = absl::InfiniteDuration();  // since when its evidence is whole, without a gap
  absl::Duration first_judged_;                            // by this process
  uint64_t reissue_at_first_ = 0;                          // keys to be replaced at that moment
  absl::Duration next_judgement_ = -absl::InfiniteDuration();
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_WATCH_H_
