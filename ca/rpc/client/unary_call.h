// One unary call under way.
#ifndef MESHCA_CA_RPC_CLIENT_UNARY_CALL_H_
#define MESHCA_CA_RPC_CLIENT_UNARY_CALL_H_

#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/rpc/client/client_channel.h"
#include "ca/rpc/client/completion_thread.h"

namespace meshca::rpc {

// Registered with `thread` before Start; deregisters itself behind `done`.
class UnaryCall final : public LiveCall, public Completion {
 public:
  // `thread` outlives the call; `where` names the server.
  UnaryCall(CompletionThread& thread, std::string where, const ClientCallOptions& options, UnaryDone done);

  void Start(grpc::GenericStub& stub, const std::string& method, absl::string_view request);
  // Instead of Start.
  void Refuse(absl::Status why) { std::move(done_)(std::move(why)); }

  void Cancel() override { context_.TryCancel(); }
  void OnCompleted(bool ok) override;

 private:
  CompletionThread& thread_;
  const std::string where_;
  UnaryDone done_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_UNARY_CALL_H_
