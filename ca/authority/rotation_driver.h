// Carries a rotation of the root from step to step.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_DRIVER_H_
#define MESHCA_CA_AUTHORITY_ROTATION_DRIVER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/key_reissuer.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/subscribers/evidence_source.h"

namespace meshca {

// Judges the evidence of the step that runs, and takes the next step when it is there: each one is an
// AuthorityManager::Change, so it is durable before anything follows from it. What it knows beyond the stored rotation
// (since when the evidence is whole, what it counted last) begins anew with the process: a freshly started one waits
// for a whole settling time before it moves. Thread-safe; Tick and the commands run one at a time.
class RotationDriver final : public RotationControl {
 public:
  struct Parts {
    AuthorityManager* authorities = nullptr;
    AuthorityStore* store = nullptr;
    LeafInventory* inventory = nullptr;
    const EvidenceSource* evidence = nullptr;
    KeyReissuer* reissuer = nullptr;
    const Clock* clock = nullptr;
    EvidencePolicy policy;
    double reissue_per_second = 500;
    // Waits that long while a command has evidence that only has to settle; a test's clock moves instead.
    std::function<void(absl::Duration)> sleep;
  };
  // Everything in `parts` outlives the driver.
  explicit RotationDriver(Parts parts);

  // Takes the steps that are due, looking at the clock itself; when to call again at the latest, counted from `now`.
  // Call it too after each change of authorities.
  absl::Time Tick(absl::Time now);

  RotationReport Report() override;
  absl::StatusOr<RotationForecast> Forecast() override;
  absl::Status Begin(const RotationOptions& options, const std::string& actor) override;
  absl::Status Activate(bool force, const std::string& actor) override;
  absl::Status Retire(bool force, bool external_confirmed, const std::string& actor) override;
  absl::Status Abort(const std::string& actor) override;
  absl::Status Rollback(const std::string& actor) override;
  absl::Status Taint(absl::string_view id_prefix, const std::string& actor) override;

 private:
  // What is known of the step that runs at one moment.
  struct View {
    RotationFacts facts;
    RotationEvidence evidence;
    uint64_t reissue_left = 0;
  };

  std::optional<RootRotation> Running() const;
  absl::StatusOr<RotationFacts> Facts(const RootRotation& rotation, absl::Time now) const;
  absl::StatusOr<RotationEvidence> Judge(EvidenceJudge::For step, const RotationFacts& facts) const;
  // The step that runs, judged now. Orders what still has to be replaced, and keeps since when the evidence is whole.
  absl::StatusOr<View> Look(const RootRotation& rotation, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // How long an emergency's step can be held up, from here on.
  void SetEndsOfWaiting(uint64_t reissue_left, RotationFacts& facts) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // One decision and what follows from it.
  enum class Advanced { kNotYet, kWaits, kMoved };  // not looked; looked, and nothing to do; a step was taken
  absl::StatusOr<Advanced> Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // `forced_by`: who answers for doing it without the evidence; "" where that is whole.
  absl::Status Do(RotationDecision::Act act, absl::string_view forced_by, const View& view, const std::string& actor)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // A command's step: refused without evidence unless `force`.
  absl::Status DoNow(RotationDecision::Act act, bool force, const std::string& actor)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void LookForReaders() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // The time, for everything that moves a rotation on. FailedPrecondition (ROTATION_FROZEN) while it cannot be
  // believed.
  absl::StatusOr<absl::Time> BelievedNow() const;
  // satisfied_since_ as the wall clock would have put it.
  absl::Time SatisfiedSince(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // After a restore no root is retired before this.
  absl::StatusOr<absl::Time> RetireNotBefore() const;
  absl::Time EndsAbout(const View& view) const;
  void Say(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void Show(const View& view, std::string waiting_for) ABSL_LOCKS_EXCLUDED(mutex_);

  const Parts parts_;
  const std::string own_spiffe_id_;

  Mutex turn_;  // held through a whole Tick or command, the database's time included
  absl::Duration satisfied_since_ ABSL_GUARDED_BY(turn_) = absl::InfiniteDuration();  // since boot
  // Of which step satisfied_since_ speaks: a restart or a step begins it anew.
  uint64_t satisfied_number_ ABSL_GUARDED_BY(turn_) = 0;
  RotationStep satisfied_step_ ABSL_GUARDED_BY(turn_) = RotationStep::kDone;
  // Of the same step: when this process first looked at it (since boot), and how many keys were to be replaced then.
  absl::Duration step_seen_ ABSL_GUARDED_BY(turn_);
  uint64_t reissue_at_first_ ABSL_GUARDED_BY(turn_) = 0;
  // Since boot; a big inventory is not read every second.
  absl::Duration look_again_ ABSL_GUARDED_BY(turn_) = -absl::InfiniteDuration();

  mutable Mutex mutex_;                            // short: for readers
  RotationReport report_ ABSL_GUARDED_BY(mutex_);  // as of the last look
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_DRIVER_H_
