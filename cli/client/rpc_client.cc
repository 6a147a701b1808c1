#include "cli/client/rpc_client.h"

#include <dlfcn.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/client/error_details.h"
#include "cli/client/grpc_client.h"

namespace meshca::cli {
namespace {

using google::protobuf::Message;

// Found by the command's RUNPATH: beside it where it was built, in ../lib/meshca where it was installed.
constexpr char kLibrary[] = "libmeshca_grpc_client.so";

// Stays open as long as the process.
absl::StatusOr<const GrpcClientEntry*> OpenLibrary() {
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  const void* const entry = library == nullptr ? nullptr : ::dlsym(library, "kMeshcaGrpcClient");
  if (entry != nullptr) return static_cast<const GrpcClientEntry*>(entry);
  return absl::FailedPreconditionError(
      absl::StrCat("the library with which meshca calls servers cannot be opened: ", ::dlerror(), "; install ",
                   kLibrary, " of the same version beside meshca or in ../lib/meshca"));
}

const absl::StatusOr<const GrpcClientEntry*>& Library() {
  static const auto* const library = new absl::StatusOr<const GrpcClientEntry*>(OpenLibrary());
  return *library;
}

// Answers each call with why there can be none.
class NoClient final : public RpcClient {
 public:
  explicit NoClient(absl::Status why) : why_(std::move(why)) {}
  absl::Status Unary(const std::string&, const Message&, Message&, const CallOptions&) override { return why_; }
  absl::Status ServerStream(const std::string&, const Message&, Message&, absl::FunctionRef<bool()>,
                            const CallOptions&) override {
    return why_;
  }
  absl::Status BidiStream(const std::string&, const Message&, Message&, Message&, absl::FunctionRef<Next()>,
                          const CallOptions&) override {
    return why_;
  }
  std::unique_ptr<RpcStream> Open(const std::string&, const CallOptions&) override {
    return std::make_unique<NoStream>(why_);
  }

 private:
  class NoStream final : public RpcStream {
   public:
    explicit NoStream(absl::Status why) : why_(std::move(why)) {}
    absl::Status Exchange(const Message&, Message&) override { return why_; }
    absl::StatusOr<bool> Next(Message&) override { return why_; }

   private:
    const absl::Status why_;
  };

  const absl::Status why_;
};

}  // namespace

std::unique_ptr<RpcClient> RpcClient::Unix(const std::string& path) {
  if (!Library().ok()) return std::make_unique<NoClient>(Library().status());
  return (*Library())->unix_socket(path, &ReasonInDetails);
}

std::unique_ptr<RpcClient> RpcClient::Tls(TlsTarget target) {
  if (!Library().ok()) return std::make_unique<NoClient>(Library().status());
  return (*Library())->tls(target, &ReasonInDetails);
}

}  // namespace meshca::cli
