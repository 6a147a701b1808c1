#include "ca/rpc/client/unary_call.h"

#include <utility>

#include "ca/rpc/client/grpc_conversion.h"

namespace meshca::rpc {

UnaryCall::UnaryCall(CompletionThread& thread, std::string where, const ClientCallOptions& options, UnaryDone done)
    : thread_(thread), where_(std::move(where)), done_(std::move(done)) {
  SetCallOptions(options, context_);
}

void UnaryCall::Start(grpc::GenericStub& stub, const std::string& method, absl::string_view request) {
  reader_ = stub.PrepareUnaryCall(&context_, method, BufferOf(request), &thread_.queue());
  reader_->StartCall();
  // The completion may come, and destroy this, before Finish has returned.
  reader_->Finish(&response_, &status_, static_cast<Completion*>(this));
}

void UnaryCall::OnCompleted(bool) {
  const absl::Status status = StatusOf(status_, where_);
  if (!status.ok()) {
    std::move(done_)(status);
  } else if (!response_.Valid()) {
    std::move(done_)(absl::InternalError("the server answered nothing"));
  } else {
    std::move(done_)(std::string(BytesOf(SliceOf(response_))));
  }
  thread_.Deregister(this);
}

}  // namespace meshca::rpc
