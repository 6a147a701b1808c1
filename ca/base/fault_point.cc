#include "ca/base/fault_point.h"

#include <atomic>

#include "absl/strings/str_cat.h"

namespace meshca {
namespace {

std::atomic<FaultHook> fault_hook = nullptr;

}  // namespace

void SetFaultHook(FaultHook hook) { fault_hook.store(hook, std::memory_order_relaxed); }

void FaultPoint(absl::string_view point, absl::string_view suffix) {
  const FaultHook hook = fault_hook.load(std::memory_order_relaxed);
  if (hook != nullptr) hook(absl::StrCat(point, suffix));
}

}  // namespace meshca
