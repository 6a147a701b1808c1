// meshca token create|list|delete
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "cli/client/address.h"
#include "cli/client/secret_file.h"
#include "cli/commands/commands.h"
#include "cli/commands/durations.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct CreateTokenOptions {
  std::string spiffe_id;
  std::string out_file;
  std::string ttl;
  std::string node;
  bool replace = false;
};

void BindCreateToken(CLI::App& app, CreateTokenOptions& options) {
  app.add_option("SPIFFE_ID", options.spiffe_id, "The identity that the token gives; without one, --node says");
  app.add_option("--ttl", options.ttl, "How long it may be redeemed: 10m, 1h (default 10m)")->type_name("DURATION");
  app.add_option("--node", options.node,
                 "Node that its holder joins as; without a SPIFFE_ID the token is for the agent of this node")
      ->type_name("NAME");
  app.add_flag("--replace", options.replace,
               "The agent may take the node's name from a machine that lives, which is refused from then on");
  app.add_option("--out", options.out_file, "Write it to this file, which only you can read, instead of printing it")
      ->type_name("FILE");
}

// Where others find this server.
struct ServerAddress {
  std::string text = "HOST:PORT";
  bool this_host_only = false;  // it listens on the loopback
};

// The port of its TLS listener, at the name of this host if it listens on all addresses.
ServerAddress FindServerAddress(Session& session) {
  ServerAddress found;
  v1::ServerStatus status;
  if (!session.CallAdmin("GetStatus", v1::GetStatusRequest(), status).ok()) return found;
  for (const v1::Listener& listener : status.listeners()) {
    if (listener.name() != "grpc") continue;
    const std::string host = HostOf(listener.address());
    found.text = listener.address();
    found.this_host_only = absl::StartsWith(host, "127.") || host == "::1" || host == "localhost";
    char name[256] = {};
    if ((host == "0.0.0.0" || host == "::") && ::gethostname(name, sizeof name - 1) == 0) {
      found.text = absl::StrCat(name, ":", PortOf(listener.address()));
    }
  }
  return found;
}

bool IsForAgent(const CreateTokenOptions& options) { return options.spiffe_id.empty(); }

void PrintAdvice(Session& session, const CreateTokenOptions& options, const v1::CreateTokenResponse& response) {
  const std::string file = options.out_file.empty() ? "- (then paste it)" : options.out_file;
  Err("good for one key, until %s UTC; it carries the fingerprint of root %s\n",
      ShowTime(response.record(), "expires_at"), response.root_fingerprint());
  const ServerAddress server = FindServerAddress(session);
  if (IsForAgent(options)) {
    Err("next, on node %s: meshca agent --server %s --token-file %s\n", response.record().node(), server.text, file);
  } else {
    Err("next: meshca request %s --server %s --token-file %s --out-dir DIR\n", response.record().spiffe_id(),
        server.text, file);
  }
  if (server.this_host_only) {
    Err("this CA listens on this host only (%s): for other machines, meshca serve --listen :%s\n", server.text,
        PortOf(server.text));
  }
}

// The token goes into the file and nowhere else. One that could not be written is taken back: nobody has it.
absl::Status KeepInFile(Session& session, v1::CreateTokenResponse& response, const std::string& file) {
  absl::Status written = WriteSecretFile(file, response.token());
  Wipe(*response.mutable_token());
  if (written.ok()) return absl::OkStatus();
  v1::DeleteTokenRequest request;
  request.set_id(response.record().id());
  v1::DeleteTokenResponse deleted;
  const absl::Status taken_back = session.CallAdmin("DeleteToken", request, deleted);
  if (taken_back.ok()) return written;
  return Annotate(written, absl::StrCat("token ", response.record().id(), " stays good, delete it"));
}

// The token alone is on stdout, for a pipe: `meshca token create ID | meshca request ID --token-file - ...`.
absl::Status CreateToken(Session& session, CreateTokenOptions& options) {
  if (IsForAgent(options) && options.node.empty()) {
    return UsageError("a token is for a SPIFFE_ID, or for the agent of a node: --node NAME");
  }
  if (options.replace && !IsForAgent(options)) {
    return UsageError("--replace: goes with --node alone; only the agent of a node takes the name of another machine");
  }
  v1::CreateTokenRequest request;
  request.set_spiffe_id(options.spiffe_id);
  request.set_node(options.node);
  request.set_replace(options.replace);
  if (!options.ttl.empty()) MESHCA_RETURN_IF_ERROR(ReadDuration("--ttl", options.ttl, *request.mutable_ttl()));
  if (options.out_file.empty()) KeepOutputPrivate();
  v1::CreateTokenResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("CreateToken", request, response));
  if (!options.out_file.empty()) {
    MESHCA_RETURN_IF_ERROR(KeepInFile(session, response, options.out_file));
    session.Print(response, [] {});
    PrintAdvice(session, options, response);
    return absl::OkStatus();
  }
  session.Print(response, [&] { Out("%s\n", response.token()); });
  Wipe(*response.mutable_token());
  // Where the token goes into a pipe nobody is waiting for advice.
  if (::isatty(STDOUT_FILENO)) PrintAdvice(session, options, response);
  return absl::OkStatus();
}

absl::Status ListTokens(Session& session) {
  v1::ListTokensResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListTokens", v1::ListTokensRequest(), response));
  PrintList(session, {"ID", "SPIFFE ID", "STATE", "EXPIRES (UTC)", "NODE", "CREATED BY"}, response.tokens(),
            [](const v1::JoinToken& token) -> std::vector<std::string> {
              return {token.id(),
                      token.spiffe_id(),
                      token.state(),
                      ShowTime(token, "expires_at"),
                      absl::StrCat(token.node(), token.replace() ? " (replaces)" : ""),
                      token.created_by()};
            });
  return absl::OkStatus();
}

absl::Status DeleteToken(Session& session, const std::string& id) {
  v1::DeleteTokenRequest request;
  request.set_id(id);
  v1::DeleteTokenResponse response;
  return session.CallAdmin("DeleteToken", request, response);
}

}  // namespace

void AddToken(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "token", "Join tokens: one-time passwords for an identity");
  AddVerb<CreateTokenOptions>(*noun, session, "create", "Make a token; shows it this once, or writes it to a file",
                              BindCreateToken, CreateToken);
  AddVerb(*noun, session, "list", "Tokens, without their secrets", ListTokens);
  AddIdVerb(*noun, session, "delete", "Make a token worthless",
            {"ID", "Id of the token, as `meshca token list` shows it"}, DeleteToken);
}

}  // namespace meshca::cli
