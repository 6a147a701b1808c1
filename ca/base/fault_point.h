// Places where a test kills the process: before and after each commit of a rotation.
#ifndef MESHCA_CA_BASE_FAULT_POINT_H_
#define MESHCA_CA_BASE_FAULT_POINT_H_

#include "absl/strings/string_view.h"

namespace meshca {

// Runs at each FaultPoint, on the thread that reaches it. Nothing in the shipped command sets one: the tests build a
// command of their own that does. Set once, before any thread starts.
using FaultHook = void (*)(absl::string_view point);
void SetFaultHook(FaultHook hook);

// Costs one load where no hook is set.
void FaultPoint(absl::string_view point, absl::string_view suffix = {});

}  // namespace meshca

#endif  // MESHCA_CA_BASE_FAULT_POINT_H_
