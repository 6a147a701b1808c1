#include "ca/rpc/client/client_channel.h"
#include "ca/base/check.h"
#include "ca/base/log.h"

#include <grpc/support/log.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "ca/rpc/client/completion_thread.h"
#include "ca/rpc/client/judging_credentials.h"
#include "ca/rpc/client/stream_call.h"
#include "ca/rpc/client/unary_call.h"

namespace meshca::rpc {
namespace {

absl::Status ChannelWasShutDown() { return absl::CancelledError("the connection's client was shut down"); }

class GrpcChannel final : public ClientChannel {
 public:
  GrpcChannel(std::shared_ptr<grpc::Channel> channel, std::string where)
      : stub_(std::move(channel)), where_(std::move(where)) {}
  ~GrpcChannel() override { thread_.Shutdown(); }

  void CallUnary(const std::string& method, absl::string_view request, const ClientCallOptions& options,
                 UnaryDone done) override {
    // This pointer keeps the call beyond Start, during which it may end.
    const auto call = std::make_shared<UnaryCall>(thread_, where_, options, std::move(done));
    if (!thread_.Register(call)) return call->Refuse(ChannelWasShutDown());
    call->Start(stub_, method, request);
  }

  std::shared_ptr<ClientStream> OpenStream(const std::string& method, const ClientCallOptions& options,
                                           std::unique_ptr<ClientStreamHandler> handler,
                                           const ClientStreamOptions& stream_options) override {
    const auto call = std::make_shared<StreamCall>(thread_, where_, options, stream_options, std::move(handler));
    if (thread_.Register(call)) {
      call->Start(stub_, method);
    } else {
      call->Refuse(ChannelWasShutDown());
    }
    return call;
  }

  void Shutdown() override { thread_.Shutdown(); }

 private:
  grpc::GenericStub stub_;
  const std::string where_;
  CompletionThread thread_;
};

void SetMilliseconds(grpc::ChannelArguments& arguments, const char* name, absl::Duration value) {
  arguments.SetInt(name, static_cast<int>(absl::ToInt64Milliseconds(value)));
}

// gRPC writes lines of its own to stderr, as when a handshake is given up. Whoever called is told by a status.
void LogAsDebug(gpr_log_func_args* line) { LogDebug("gRPC says", {{"line", line->message}}); }

grpc::ChannelArguments Arguments(const ClientChannelOptions& options) {
  gpr_set_log_function(&LogAsDebug);
  // The detector is on in Debian's Abseil and costs every new connection half of its time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  // The bound is on what arrives: a message that was packed could unpack to any size before it is judged.
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
  // What is safe to repeat only the caller knows.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A proxy that the environment names is for the web, not for the CA.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // gRPC would let channels to one address share a connection, and with it how long the next try waits.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  SetMilliseconds(arguments, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, options.retry_min);
  SetMilliseconds(arguments, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, options.retry_max);
  SetMilliseconds(arguments, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, options.connect_timeout);
  if (options.keepalive != absl::InfiniteDuration()) {
    SetMilliseconds(arguments, GRPC_ARG_KEEPALIVE_TIME_MS, options.keepalive);
    SetMilliseconds(arguments, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, absl::Seconds(20));
    // Else gRPC stops after two pings without a message between them.
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return arguments;
}

}  // namespace

std::unique_ptr<ClientChannel> ClientChannel::ToUnixSocket(const std::string& path,
                                                           const ClientChannelOptions& options) {
  grpc::ChannelArguments arguments = Arguments(options);
  // gRPC would send the socket's path, in an encoding that servers refuse.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return std::make_unique<GrpcChannel>(
      grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(), arguments), path);
}

std::unique_ptr<ClientChannel> ClientChannel::ToTlsServer(TlsServer server, const ClientChannelOptions& options) {
  if (server.verdict) {
    MESHCA_CHECK(server.roots_pem.empty() && server.server_name.empty());  // the verdict would not look at them
    const std::string address = server.address;
    return std::make_unique<GrpcChannel>(
        grpc::CreateCustomChannel(address, JudgingCredentials(std::move(server)), Arguments(options)), address);
  }
  MESHCA_CHECK(!server.roots_pem.empty());  // gRPC would believe every public CA instead
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = server.roots_pem;
  tls.pem_cert_chain = server.certificate_pem;
  tls.pem_private_key = std::string(server.key_pem.reveal());
  grpc::ChannelArguments arguments = Arguments(options);
  if (!server.server_name.empty()) arguments.SetSslTargetNameOverride(server.server_name);
  const auto credentials = grpc::SslCredentials(tls);
  Wipe(tls.pem_private_key);
  return std::make_unique<GrpcChannel>(grpc::CreateCustomChannel(server.address, credentials, arguments),
                                       server.address);
}

}  // namespace meshca::rpc
