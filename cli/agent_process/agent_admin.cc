#include "cli/agent_process/agent_admin.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/rpc/call.h"
#include "ca/rpc/protobuf_payload.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

v1::CheckResponse CheckMessage(const AgentView& view) {
  v1::CheckResponse response;
  for (CheckedFact& found : CheckAgent(view)) {
    v1::Fact& fact = *response.add_facts();
    fact.set_name(std::move(found.name));
    fact.set_state(found.state == CheckedFact::State::kOk        ? "ok"
                   : found.state == CheckedFact::State::kWarning ? "warning"
                                                                 : "failed");
    fact.set_detail(std::move(found.detail));
    fact.set_mend(std::move(found.mend));
  }
  return response;
}

}  // namespace

template <typename Response>
void AgentAdmin::AddMethod(rpc::Router& router, absl::string_view name, Response (*answer)(const AgentView&)) {
  router.AddUnary(absl::StrCat("/meshca.admin.v1.Admin/", name), [this, answer](std::shared_ptr<rpc::Call> call) {
    const bool queued = workers_.Submit([this, answer, call] { call->Finish(rpc::Frame(answer(view_()))); });
    if (!queued) {
      call->Finish(WithReason(absl::ResourceExhaustedError("too many admin calls are waiting; try again in a moment"),
                              "QUEUE_FULL"));
    }
  });
}

void AgentAdmin::AddTo(rpc::Router& router) {
  AddMethod(router, "GetStatus", StatusMessage);
  AddMethod(router, "Check", CheckMessage);
}

}  // namespace meshca::cli
