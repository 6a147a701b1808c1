// Takes one step of the rotation that runs: commits it, and remembers who was behind where it was forced.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_STEPS_H_
#define MESHCA_CA_AUTHORITY_ROTATION_STEPS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/authority/rotation_watch.h"

namespace meshca {

// Commits the step that `act` names; durable and published when it returns Ok. `view` is what it was decided on.
// `forced_by`: who answers for taking it without the evidence, or "" where that is whole; it is recorded with the names
// of the first who were behind. `actor`: who takes it, for the audit log. FailedPrecondition: the rotation is at
// another step by now.
absl::Status TakeRotationStep(AuthorityManager& authorities, RotationDecision::Act act, absl::string_view forced_by,
                              const RotationView& view, const std::string& actor);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_STEPS_H_
