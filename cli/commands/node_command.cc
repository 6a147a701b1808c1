// meshca node list|show|ban|forget
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

// All live certificates are read once, to find and to count those of nodes; a ban revokes them.
constexpr absl::Duration kNodeTimeout = absl::Minutes(1);

std::string Agent(const v1::Node& node) {
  if (!node.connected()) return "not connected";
  return absl::StrCat("connected, meshca ", node.version());
}

std::string Trust(const v1::Node& node) { return node.connected() ? absl::StrCat(node.trust_version()) : "-"; }

std::string Consumers(const v1::Node& node) {
  if (!node.connected()) return "-";
  return node.behind() == 0 ? absl::StrCat(node.consumers())
                            : absl::StrCat(node.consumers(), ", ", node.behind(), " behind");
}

// Another agent of the node took the place of one that was connected. A machine whose network broke does so when it
// comes back, so once is nothing to worry about.
bool MayBeTwo(const v1::Node& node) { return node.displaced() > 1; }

void SayWhatToDoAboutTwo(const std::string& names) {
  Err("another agent took the place of the connected one again and again on %s: two machines may hold one certificate. "
      "See who attaches from where in the server's log; then `meshca node ban NODE`, `node forget NODE`, and join the "
      "right one by a new token, or only join it anew: `meshca token create --node NODE --replace`\n",
      names);
}

void PrintNodeText(const v1::Node& node) {
  Out("name         %s\nstate        %s\nagent        %s\n", node.name(), node.state(), Agent(node));
  Out("joined       %s UTC, by token %s\n", ShowTime(node, "joined_at"), node.token_id());
  Out("certificate  %s, until %s UTC\nlive         %llu certificates\n", node.certificate_serial(),
      ShowTime(node, "certificate_not_after"), static_cast<unsigned long long>(node.live_certificates()));
  Out("trust        %s\nconsumers    %s\n", Trust(node), Consumers(node));
  if (node.displaced() > 0) {
    Out("displaced    %llu %s, last %s UTC, by another agent of this node\n",
        static_cast<unsigned long long>(node.displaced()), node.displaced() == 1 ? "time" : "times",
        ShowTime(node, "displaced_at"));
  }
  if (!node.has_banned_at()) return;
  Out("banned       %s UTC by %s%s\n", ShowTime(node, "banned_at"), node.banned_by(),
      node.ban_reason().empty() ? "" : absl::StrCat(": ", node.ban_reason()));
}

absl::Status ListNodes(Session& session) {
  v1::ListNodesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListNodes", v1::ListNodesRequest(), response, {.timeout = kNodeTimeout}));
  PrintList(session,
            {"NODE", "STATE", "CONNECTED", "JOINED (UTC)", "CERTIFICATE UNTIL (UTC)", "LIVE", "TRUST", "CONSUMERS",
             "DISPLACED"},
            response.nodes(), [](const v1::Node& node) -> std::vector<std::string> {
              return {node.name(),
                      node.state(),
                      node.connected() ? "yes" : "no",
                      ShowTime(node, "joined_at"),
                      ShowTime(node, "certificate_not_after"),
                      absl::StrCat(node.live_certificates()),
                      Trust(node),
                      Consumers(node),
                      node.displaced() == 0 ? "-" : absl::StrCat(node.displaced())};
            });
  std::vector<std::string> two;
  for (const v1::Node& node : response.nodes()) {
    if (MayBeTwo(node)) two.push_back(node.name());
  }
  constexpr size_t kNamed = 5;
  if (two.empty()) return absl::OkStatus();
  const size_t more = two.size() - std::min(two.size(), kNamed);
  two.resize(two.size() - more);
  SayWhatToDoAboutTwo(absl::StrCat(absl::StrJoin(two, ", "), more == 0 ? "" : absl::StrCat(" and ", more, " more")));
  return absl::OkStatus();
}

absl::Status ShowNode(Session& session, const std::string& name) {
  v1::GetNodeRequest request;
  request.set_name(name);
  v1::Node node;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetNode", request, node, {.timeout = kNodeTimeout}));
  session.Print(node, [&] { PrintNodeText(node); });
  if (MayBeTwo(node)) SayWhatToDoAboutTwo(node.name());
  return absl::OkStatus();
}

struct BanNodeOptions {
  std::string name;
  std::string reason;
};

void BindBanNode(CLI::App& app, BanNodeOptions& options) {
  app.add_option("NODE", options.name, "Name of the node, as `meshca node list` shows it")->required();
  app.add_option("--reason", options.reason, "Why, for whoever looks at it later")->type_name("TEXT");
}

absl::Status BanNode(Session& session, BanNodeOptions& options) {
  v1::BanNodeRequest request;
  request.set_name(options.name);
  request.set_reason(options.reason);
  v1::BanNodeResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("BanNode", request, response, {.timeout = kNodeTimeout}));
  session.Print(response, [&] {
    Out("banned node %s: its agent gets nothing more, and %llu certificates of it and of the workloads on it are "
        "revoked\n",
        response.node().name(), static_cast<unsigned long long>(response.certificates()));
  });
  Err("until it ends each certificate stays good with those who verify it alone; lift the ban: meshca node forget %s\n",
      response.node().name());
  return absl::OkStatus();
}

absl::Status ForgetNode(Session& session, const std::string& name) {
  v1::ForgetNodeRequest request;
  request.set_name(name);
  v1::ForgetNodeResponse response;
  return session.CallAdmin("ForgetNode", request, response);
}

}  // namespace

void AddNode(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "node", "Nodes: machines whose agents hold identities for the workloads on them");
  AddVerb(*noun, session, "list", "Every node whose agent has joined", ListNodes);
  const IdArgument name = {"NODE", "Name of the node, as `meshca node list` shows it"};
  AddIdVerb(*noun, session, "show", "One node", name, ShowNode);
  AddVerb<BanNodeOptions>(*noun, session, "ban",
                          "Shut a node out: revoke what it holds, refuse its agent until the node is forgotten",
                          BindBanNode, BanNode);
  AddIdVerb(*noun, session, "forget", "Forget a node and its ban: a token made after that lets its agent join again",
            name, ForgetNode);
}

}  // namespace meshca::cli
