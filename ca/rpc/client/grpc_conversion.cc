#include "ca/rpc/client/grpc_conversion.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/rpc/client/error_details.h"

namespace meshca::rpc {

grpc::ByteBuffer BufferOf(absl::string_view message) {
  grpc::Slice slice(message.data(), message.size());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::Slice SliceOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  // It fails for a buffer without a message alone.
  MESHCA_CHECK(buffer.DumpToSingleSlice(&slice).ok());
  return slice;
}

absl::string_view BytesOf(const grpc::Slice& slice) {
  return absl::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

absl::Status StatusOf(const grpc::Status& status, const std::string& where) {
  if (status.ok()) return absl::OkStatus();
  absl::Status converted(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  const std::string reason = ReasonInDetails(status.error_details());
  if (!reason.empty()) return WithReason(std::move(converted), reason);
  // Without details it was the transport that spoke.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return Annotate(converted, where);
  return converted;
}

void SetCallOptions(const ClientCallOptions& options, grpc::ClientContext& context) {
  if (options.timeout != absl::InfiniteDuration()) {
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(options.timeout));
  }
  if (!options.bearer_token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", options.bearer_token));
  }
  for (const auto& [name, value] : options.metadata) context.AddMetadata(name, value);
  context.set_wait_for_ready(options.wait_for_connection);
}

}  // namespace meshca::rpc
