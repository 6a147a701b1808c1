// meshca subscriber list|show
#include <cstdio>
#include <string>
#include <vector>

#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct ShowOptions {
  std::string instance;
};

absl::Status List(Session& session) {
  v1::ListSubscribersResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListSubscribers", v1::ListSubscribersRequest(), response));
  ListPrinter printer(session.format, {"INSTANCE", "SPIFFE ID", "NODE", "KIND", "CONNECTED", "BUNDLE", "SERIAL",
                                       "ACKNOWLEDGED (UTC)", "REJECTED"});
  for (const v1::Subscriber& one : response.subscribers()) {
    printer.Add(one, [&]() -> std::vector<std::string> {
      return {one.instance(),
              one.spiffe_id(),
              one.node(),
              one.kind(),
              one.connected() ? "yes" : "no",
              std::to_string(one.bundle_sequence()),
              one.serial(),
              ShowTime(one, "acknowledged_at"),
              one.rejected()};
    });
  }
  return absl::OkStatus();
}

void BindShow(CLI::App& app, ShowOptions& options) {
  app.add_option("INSTANCE", options.instance, "As `meshca subscriber list` shows it")->required();
}

absl::Status Show(Session& session, ShowOptions& options) {
  v1::GetSubscriberRequest request;
  request.set_instance(options.instance);
  v1::Subscriber one;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetSubscriber", request, one));
  session.Print(one, [&] {
    std::printf("instance      %s\nspiffe id     %s\nnode          %s\nkind          %s\npeer          %s\n",
                one.instance().c_str(), one.spiffe_id().c_str(), one.node().c_str(), one.kind().c_str(),
                one.peer().c_str());
    std::printf("connected     %s\nseen          %s to %s UTC\n", one.connected() ? "yes" : "no",
                ShowTime(one, "first_seen").c_str(), ShowTime(one, "last_seen").c_str());
    std::printf("bundle        %llu\nserial        %s\nversion       %s\nacknowledged  %s UTC\n",
                static_cast<unsigned long long>(one.bundle_sequence()), one.serial().c_str(),
                one.version_info().c_str(), ShowTime(one, "acknowledged_at").c_str());
    std::printf("certificate   until %s UTC\nrejected      %s\n", ShowTime(one, "certificate_expires").c_str(),
                one.rejected().empty() ? "-" : one.rejected().c_str());
  });
  return absl::OkStatus();
}

}  // namespace

void AddSubscriber(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "subscriber", "Who takes secrets from this server, and what they acknowledged");
  AddVerb(*noun, session, "list", "Every subscriber, connected or remembered", List);
  AddVerb<ShowOptions>(*noun, session, "show", "One subscriber", BindShow, Show);
}

}  // namespace meshca::cli
