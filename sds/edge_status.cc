#include "sds/edge_status.h"

#include <optional>
#include <string>
#include <utility>

#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/rpc/client_status.h"

namespace meshca::sds {

absl::Status EdgeStatus(const absl::Status& error) {
  if (std::optional<absl::Status> told = rpc::ClientStatus(error); told.has_value()) return *std::move(told);
  LogError("SDS: request failed",
           {{"code", std::string(CodeName(error.code()))}, {"error", std::string(error.message())}});
  return absl::InternalError("SDS: the server failed; its log says how");
}

}  // namespace meshca::sds
