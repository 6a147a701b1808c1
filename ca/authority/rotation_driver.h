// Takes the steps of a root rotation when they are due, and the operator's commands about it.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_DRIVER_H_
#define MESHCA_CA_AUTHORITY_ROTATION_DRIVER_H_

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_reissuer.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/authority/rotation_commands.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/authority/rotation_reporter.h"
#include "ca/authority/rotation_watch.h"
#include "ca/base/mutex.h"
#include "ca/subscribers/evidence_source.h"

namespace meshca {

// Takes the next step when the evidence of the present one is complete, and carries out operator's commands in between,
// one call at a time. Each step is durable before anything follows from it. Only the rotation itself is stored; what
// RotationWatch knows about it is lost with the process and gathered again. Thread-safe.
class RotationDriver final : public RotationControl {
 public:
  struct Parts {
    AuthorityManager* authorities = nullptr;
    AuthorityStore* store = nullptr;
    LeafInventory* inventory = nullptr;
    const EvidenceSource* evidence = nullptr;
    KeyReissuer* reissuer = nullptr;
    const RotationAdvisor* advisor = nullptr;  // null: nobody knows more of those who are behind
    EvidencePolicy policy;
    double reissue_per_second = 500;
    // See RotationCommands. A test moves its clock instead of blocking.
    std::function<void(absl::Duration)> sleep;
  };
  // Everything in `parts` outlives the driver.
  explicit RotationDriver(Parts parts);

  // Takes the steps that are due; reads the clock itself. Returns the latest time for the next call, counted from
  // `now`, the caller's own reading. To be called also after each change of authorities. Blocks on the database.
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
  enum class Advanced {
    kNotJudged,  // the step was judged a moment ago
    kWaits,      // there is nothing to do, or the clock cannot be believed
    kMoved,      // a step was taken
  };
  // Decides once what to do next, and does it.
  absl::StatusOr<Advanced> Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  AuthorityManager& authorities_;
  AuthorityStore& store_;
  RotationReporter reporter_;

  Mutex turn_;           // held through a whole Tick or command, the database's time included
  RotationWatch watch_;  // guarded by turn_, except the methods that its header allows to any thread
  RotationCommands commands_ ABSL_GUARDED_BY(turn_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_DRIVER_H_
