#include "cli/session.h"

#include <google/protobuf/message.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "cli/process/socket_reach.h"
#include "cli/terminal/message_text.h"
#include "cli/terminal/output.h"

namespace meshca::cli {

using google::protobuf::Message;

absl::Status UsageError(absl::string_view message) { return WithReason(absl::InvalidArgumentError(message), "USAGE"); }

namespace {

// The admin socket is for few, so the reader should be one of them; every other is for everybody, so its place is
// wrong.
absl::Status NoPermission(const std::string& path, absl::string_view flag, bool agent) {
  const std::string shut = WhyOthersCannotReach(path);
  if (flag == "--admin-socket" || shut.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": permission denied; run this as the user that it runs as, as root, or in group meshca"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat(path, ": permission denied: ", shut, "; this socket is for every user of the host: start the ",
                   agent ? "agent" : "server", " with --api-socket PATH outside of that folder"));
}

}  // namespace

absl::Status CheckSocket(const std::string& path, absl::string_view flag, bool agent) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return UsageError(absl::StrCat("socket path ", path, " is longer than 107 bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return absl::OkStatus();
  const int error = errno;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return absl::UnavailableError(absl::StrCat("no meshca ", agent ? "agent" : "server", " listens at ", path,
                                                 "; start one with `meshca ", agent ? "agent" : "serve",
                                                 "`, or say where it is with --state-dir DIR or ", flag, " PATH"));
    case EACCES: return NoPermission(path, flag, agent);
    default: return ErrnoStatus(error, path);
  }
}

config::ConfigInput Session::Input() const {
  config::ConfigInput input = config::ConfigInput::OfProcess();
  input.config_file = config_file;
  if (!state_dir.empty()) input.flags["state_dir"] = {state_dir};
  if (!admin_socket.empty()) input.flags["admin_socket"] = {admin_socket};
  if (!api_socket.empty()) input.flags["api_socket"] = {api_socket};
  return input;
}

absl::StatusOr<config::ResolvedConfig> Session::Paths() const {
  if (agent) return UsageError("--agent: the database is the CA's; ask without --agent, on the CA's host");
  return config::ResolvePaths(Input());
}

absl::StatusOr<config::HostPlaces> Session::Places() const {
  return config::FindHostPlaces(Input(), agent ? config::Program::kAgent : config::Program::kServer);
}

absl::StatusOr<RpcClient*> Session::Admin() {
  if (admin_ == nullptr) {
    MESHCA_ASSIGN_OR_RETURN(const config::HostPlaces places, Places());
    MESHCA_RETURN_IF_ERROR(CheckSocket(places.admin_socket, "--admin-socket", agent));
    admin_ = RpcClient::Unix(places.admin_socket);
  }
  return admin_.get();
}

absl::Status Session::Told(absl::Status status) const {
  if (!agent || !absl::IsUnimplemented(status)) return status;
  return absl::UnimplementedError("the agent has no answer to this: ask the CA, on its host and without --agent");
}

absl::Status Session::CallAdmin(absl::string_view method, const Message& request, Message& response,
                                const CallOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(RpcClient* const admin, Admin());
  return Told(admin->Unary(absl::StrCat("/meshca.admin.v1.Admin/", method), request, response, options));
}

absl::StatusOr<std::string> Session::ApiSocket() const {
  MESHCA_ASSIGN_OR_RETURN(config::HostPlaces places, Places());
  MESHCA_RETURN_IF_ERROR(CheckSocket(places.api_socket, "--api-socket", agent));
  return std::move(places.api_socket);
}

void Session::Print(const Message& message, absl::FunctionRef<void()> as_table) const {
  switch (format) {
    case OutputFormat::kJson: Out("%s\n", ToJson(message)); return;
    case OutputFormat::kYaml: PutText(stdout, ToYaml(message)); return;
    case OutputFormat::kTable: as_table(); return;
  }
}

}  // namespace meshca::cli
