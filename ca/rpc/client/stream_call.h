// One streaming call under way.
#ifndef MESHCA_CA_RPC_CLIENT_STREAM_CALL_H_
#define MESHCA_CA_RPC_CLIENT_STREAM_CALL_H_

#include <grpcpp/generic/generic_stub.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"
#include "ca/rpc/client/client_channel.h"
#include "ca/rpc/client/completion_thread.h"

namespace meshca::rpc {

// gRPC wants at most one reading and one writing operation at a time, and asks for the status once reading has ended.
// Registered with `thread` before Start; deregisters itself behind OnClose.
class StreamCall final : public ClientStream, public LiveCall {
 public:
  // `thread` outlives the call; `where` names the server.
  StreamCall(CompletionThread& thread, std::string where, const ClientCallOptions& options,
             const ClientStreamOptions& stream_options, std::unique_ptr<ClientStreamHandler> handler);

  void Start(grpc::GenericStub& stub, const std::string& method);
  // Instead of Start.
  void Refuse(const absl::Status& why);

  void Read() override;
  bool Send(std::string message) override;
  void HalfClose() override;
  void Cancel() override;

 private:
  // The completion of one kind of operation.
  class Operation final : public Completion {
   public:
    Operation(StreamCall& call, void (StreamCall::*then)(bool)) : call_(call), then_(then) {}
    void OnCompleted(bool ok) override { (call_.*then_)(ok); }

   private:
    StreamCall& call_;
    void (StreamCall::*const then_)(bool);
  };

  void OnStarted(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  // Begins every operation that is wanted and possible.
  void BeginOperations() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginWriting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the handler the status and destroys the call, once no operation is under way.
  void CloseWhenIdle();

  CompletionThread& thread_;
  const std::string where_;
  const size_t queue_bytes_max_;
  std::unique_ptr<ClientStreamHandler> handler_;  // the channel's thread; null behind OnClose
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer incoming_;  // of the reading operation under way
  grpc::Status status_;        // of the finishing one
  Operation on_started_{*this, &StreamCall::OnStarted};
  Operation on_read_{*this, &StreamCall::OnRead};
  Operation on_written_{*this, &StreamCall::OnWritten};
  Operation on_finished_{*this, &StreamCall::OnFinished};

  Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_close_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ended_ ABSL_GUARDED_BY(mutex_) = false;  // half-closed, or nothing more can be sent
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool owes_writable_ ABSL_GUARDED_BY(mutex_) = false;  // Send has returned false
  std::deque<grpc::ByteBuffer> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_STREAM_CALL_H_
