#include "ca/edge/edge_status.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/rpc/client_status.h"
#include "ca/x509/encoding.h"

namespace meshca {
namespace {

// Logs the error under a fresh id, which is all that a stranger learns of it.
std::string LogUnderRequestId(const absl::Status& error, absl::string_view what, EntropySource& entropy) {
  std::array<uint8_t, 8> bytes;
  entropy.Fill(bytes);
  std::string id = HexLower(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  LogError("internal error", {{"request_id", id},
                              {"what", std::string(what)},
                              {"code", std::string(CodeName(error.code()))},
                              {"reason", ReasonOf(error)},
                              {"error", std::string(error.message())}});
  return id;
}

}  // namespace

absl::Status CsrEdgeStatus(const absl::Status& error, absl::string_view what, EntropySource& entropy) {
  if (std::optional<absl::Status> told = rpc::ClientStatus(error); told.has_value()) return *std::move(told);
  return absl::InternalError(absl::StrCat("internal error; the server's log has it under request id ",
                                          LogUnderRequestId(error, what, entropy)));
}

absl::Status SdsEdgeStatus(const absl::Status& error, absl::string_view service) {
  if (std::optional<absl::Status> told = rpc::ClientStatus(error); told.has_value()) return *std::move(told);
  LogError(absl::StrCat(service, ": request failed"),
           {{"code", std::string(CodeName(error.code()))}, {"error", std::string(error.message())}});
  return absl::InternalError(absl::StrCat(service, ": the server failed; its log says how"));
}

absl::Status AdminEdgeStatus(const absl::Status& error, absl::string_view what, EntropySource& entropy) {
  if (error.code() != absl::StatusCode::kInternal && error.code() != absl::StatusCode::kUnknown) return error;
  const std::string id = LogUnderRequestId(error, what, entropy);
  return WithReason(absl::InternalError(absl::StrCat(error.message(), " (request id ", id, ")")), ReasonOf(error));
}

}  // namespace meshca
