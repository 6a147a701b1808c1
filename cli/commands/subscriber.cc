// meshca subscriber list|show|evict
#include <cstdio>
#include <string>
#include <vector>

#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/printable.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

std::string Connected(const v1::Subscriber& one) {
  return one.connected() ? "yes" : one.has_evicted_at() ? "no, evicted" : "no";
}

void PrintText(const Session& session, const v1::Subscriber& one) {
  session.Print(one, [&] {
    std::printf("instance      %s\nspiffe id     %s\nnode          %s\nkind          %s\npeer          %s\n",
                one.instance().c_str(), one.spiffe_id().c_str(), one.node().c_str(), one.kind().c_str(),
                one.peer().c_str());
    std::printf("connected     %s\nseen          %s to %s UTC\n", Connected(one).c_str(),
                ShowTime(one, "first_seen").c_str(), ShowTime(one, "last_seen").c_str());
    std::printf("bundle        %llu\nserial        %s\nsigned by     %s\nversion       %s\nacknowledged  %s UTC\n",
                static_cast<unsigned long long>(one.bundle_sequence()), one.serial().c_str(),
                one.authority_id().empty() ? "-" : one.authority_id().c_str(), one.version_info().c_str(),
                ShowTime(one, "acknowledged_at").c_str());
    std::printf("certificate   until %s UTC\nrejected      %s\n", ShowTime(one, "certificate_expires").c_str(),
                one.rejected().empty() ? "-" : Printable(one.rejected()).c_str());
    if (one.has_evicted_at()) std::printf("evicted       %s UTC\n", ShowTime(one, "evicted_at").c_str());
  });
}

absl::Status List(Session& session) {
  v1::ListSubscribersResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListSubscribers", v1::ListSubscribersRequest(), response));
  PrintList(
      session,
      {"INSTANCE", "SPIFFE ID", "NODE", "KIND", "CONNECTED", "BUNDLE", "SERIAL", "ACKNOWLEDGED (UTC)", "REJECTED"},
      response.subscribers(), [](const v1::Subscriber& one) -> std::vector<std::string> {
        return {one.instance(), one.spiffe_id(),
                one.node(),     one.kind(),
                Connected(one), std::to_string(one.bundle_sequence()),
                one.serial(),   ShowTime(one, "acknowledged_at"),
                one.rejected()};
      });
  return absl::OkStatus();
}

absl::Status Show(Session& session, const std::string& instance) {
  v1::GetSubscriberRequest request;
  request.set_instance(instance);
  v1::Subscriber one;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetSubscriber", request, one));
  PrintText(session, one);
  return absl::OkStatus();
}

absl::Status Evict(Session& session, const std::string& instance) {
  v1::EvictSubscriberRequest request;
  request.set_instance(instance);
  v1::Subscriber one;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("EvictSubscriber", request, one));
  PrintText(session, one);
  return absl::OkStatus();
}

}  // namespace

void AddSubscriber(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "subscriber", "Who takes secrets from this server, and what they acknowledged");
  AddVerb(*noun, session, "list", "Every subscriber, connected or remembered", List);
  const IdArgument instance = {"INSTANCE", "As `meshca subscriber list` shows it"};
  AddIdVerb(*noun, session, "show", "One subscriber", instance, Show);
  AddIdVerb(*noun, session, "evict", "It is gone for good: no rotation waits for it; refused while it is connected",
            instance, Evict);
}

}  // namespace meshca::cli
