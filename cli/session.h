// One run of the command: the global options, where the server is, and how answers are printed.
#ifndef MESHCA_CLI_SESSION_H_
#define MESHCA_CLI_SESSION_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/client/rpc_client.h"
#include "cli/config/host_places.h"
#include "cli/config/resolve.h"
#include "cli/terminal/list_printer.h"

namespace meshca::cli {

// What the command exits with; the README lists them for scripts.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitRefused = 3;  // an unsafe step, refused; `--force` where there is one

// A mistake on the command line, found after it was parsed: exit code 2.
absl::Status UsageError(absl::string_view message);

// Filled by the parser, read by the command that was chosen. One thread.
class Session {
 public:
  // --- global options, as typed; "" where not given ---
  std::string config_file;
  std::string state_dir;
  std::string admin_socket;
  std::string api_socket;
  bool agent = false;  // talk to the agent of this host, not to the server
  OutputFormat format = OutputFormat::kTable;

  // The command chosen: run once after parsing. Where it returns Ok, the process exits with `exit_code`.
  std::function<absl::Status()> action;
  int exit_code = kExitOk;

  // The global options as configuration flags; `flags` of a command are added to them.
  config::ConfigInput Input() const;
  // Where this machine's server has its state and sockets, by flags, environment, file and defaults. With `agent`
  // UsageError: an agent has no database.
  absl::StatusOr<config::ResolvedConfig> Paths() const;
  // The same of the program that this run talks to: the server, or with `agent` the agent.
  absl::StatusOr<config::HostPlaces> Places() const;

  // The admin API of the server (with `agent`: of the agent, which has part of it) on this host; the same client each
  // time. Unavailable says how to start or find one. Whoever makes calls by it passes their statuses through Told.
  absl::StatusOr<RpcClient*> Admin();
  // What a person is told of a call's `status`: with `agent`, a method that agents do not have is the CA's.
  absl::Status Told(absl::Status status) const;
  // One call of it: `method` is the name alone ("CreateToken").
  absl::Status CallAdmin(absl::string_view method, const google::protobuf::Message& request,
                         google::protobuf::Message& response, const CallOptions& options = {});
  // The next call of the admin API makes a new connection.
  void Disconnect() { admin_.reset(); }
  // The path of its API socket, found to have a listener.
  absl::StatusOr<std::string> ApiSocket() const;

  // Prints one message: as JSON or YAML, or by `as_table`.
  void Print(const google::protobuf::Message& message, absl::FunctionRef<void()> as_table) const;

 private:
  std::unique_ptr<RpcClient> admin_;
};

// A list that came whole; `row` makes the cells of one item.
template <typename Items, typename Row>
void PrintList(const Session& session, std::vector<std::string> headers, const Items& items, Row row) {
  ListPrinter printer(session.format, std::move(headers));
  for (const auto& item : items) {
    printer.Add(item, [&]() -> std::vector<std::string> { return row(item); });
  }
}

// Unavailable, with what to do, unless something listens at `path`. `flag` is the option that names another; `agent`:
// an agent should, not a server.
absl::Status CheckSocket(const std::string& path, absl::string_view flag, bool agent = false);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SESSION_H_
