#include "ca/authority/rotation_reporter.h"

#include <optional>
#include <utility>

#include "ca/authority/cross_certificate.h"
#include "ca/base/log.h"

namespace meshca {
namespace {

// Holders of the old root alone cannot verify what the new one signs: only of interest before the old root is gone.
bool LacksCrossCertificate(const AuthoritySnapshot& snapshot) {
  const RootRotation& rotation = *snapshot.rotation;
  if (rotation.rolled_back || rotation.step == RotationStep::kRetire) return false;
  for (const SigningAuthority& authority : snapshot.authorities) {
    if (authority.id == rotation.new_root_id && authority.upstream.empty()) return true;
  }
  return false;
}

}  // namespace

void RotationReporter::KeepView(const RotationView& view, std::string waiting_for, absl::Time ends_about) {
  MutexLock lock(mutex_);
  last_.rotation = view.facts.rotation;
  last_.evidence = view.evidence;
  last_.as_of = view.facts.now;
  last_.reissue_left = view.reissue_left;
  last_.waiting_for = std::move(waiting_for);
  last_.ends_about = ends_about;
  last_.grace_ends = view.facts.grace_ends;
}

void RotationReporter::KeepError(const absl::Status& status) {
  MutexLock lock(mutex_);
  const std::string error(status.message());
  if (!error.empty() && error != last_.error) LogError("rotation of the root", {{"error", error}});
  last_.error = error;
}

RotationReport RotationReporter::MakeReport(const AuthoritySnapshot& snapshot, absl::Duration emergency_grace,
                                            std::string frozen) const {
  RotationReport report;
  {
    MutexLock lock(mutex_);
    report = last_;
  }
  const std::optional<RootRotation> seen = std::exchange(report.rotation, snapshot.rotation);
  const bool running = snapshot.rotation.has_value() && !snapshot.rotation->Ended();
  if (!running || !seen.has_value() || seen->number != snapshot.rotation->number ||
      seen->step != snapshot.rotation->step) {
    // What was last seen is of another step.
    std::string error = std::move(report.error);
    report = RotationReport();
    report.rotation = snapshot.rotation;
    if (running) report.waiting_for = "the subscribers are being counted";
    report.error = std::move(error);
  }
  if (!running) return report;
  if (snapshot.rotation->GoesOnWithoutTheSilent()) report.emergency_grace = emergency_grace;
  report.frozen = std::move(frozen);
  if (LacksCrossCertificate(snapshot)) {
    report.warnings.push_back(
        "the old root cannot certify the new one (its key is not held, or its pathLenConstraint leaves no room): who "
        "holds the old root alone cannot verify new certificates");
  }
  if (LeavesCarryCross(snapshot)) {
    report.warnings.push_back(
        "somebody may hold the old root alone (an emergency, a forced step, or roots taken from elsewhere), so new "
        "chains "
        "carry the new root's cross-certificate: verifiers in Java that are fed by the Workload API refuse such a "
        "chain "
        "after the retirement, until its holder renews");
  }
  return report;
}

}  // namespace meshca
