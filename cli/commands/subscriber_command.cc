// meshca subscriber list|show|evict
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ca/base/exactly_one.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

// Thousands are written in batches, behind whatever else the database has to do.
constexpr absl::Duration kEvictTimeout = absl::Minutes(1);

std::string Connected(const v1::Subscriber& one) {
  return absl::StrCat(one.connected() ? "yes" : "no", one.has_evicted_at() ? ", evicted" : "");
}

void PrintSubscriberText(const Session& session, const v1::Subscriber& one) {
  session.Print(one, [&] {
    Out("instance      %s\nspiffe id     %s\nnode          %s\nkind          %s\npeer          %s\n", one.instance(),
        one.spiffe_id(), one.node(), one.kind(), one.peer());
    Out("connected     %s\nseen          %s to %s UTC\n", Connected(one), ShowTime(one, "first_seen"),
        ShowTime(one, "last_seen"));
    Out("bundle        %llu\nserial        %s\nsigned by     %s\nversion       %s\nacknowledged  %s UTC\n",
        static_cast<unsigned long long>(one.bundle_sequence()), one.serial(),
        one.authority_id().empty() ? "-" : one.authority_id(), one.version_info(), ShowTime(one, "acknowledged_at"));
    Out("certificate   until %s UTC\nrejected      %s\n", ShowTime(one, "certificate_expires"),
        one.rejected().empty() ? "-" : one.rejected());
    if (one.has_delivered_at()) Out("delivered     %s UTC\n", ShowTime(one, "delivered_at"));
    if (one.has_evicted_at()) Out("evicted       %s UTC\n", ShowTime(one, "evicted_at"));
  });
}

absl::Status ListSubscribers(Session& session) {
  v1::ListSubscribersResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListSubscribers", v1::ListSubscribersRequest(), response));
  PrintList(session,
            {"INSTANCE", "SPIFFE ID", "NODE", "KIND", "CONNECTED", "BUNDLE", "SERIAL", "ACKNOWLEDGED (UTC)",
             "DELIVERED (UTC)", "REJECTED"},
            response.subscribers(), [](const v1::Subscriber& one) -> std::vector<std::string> {
              return {one.instance(),
                      one.spiffe_id(),
                      one.node(),
                      one.kind(),
                      Connected(one),
                      std::to_string(one.bundle_sequence()),
                      one.serial(),
                      ShowTime(one, "acknowledged_at"),
                      ShowTime(one, "delivered_at"),
                      one.rejected()};
            });
  return absl::OkStatus();
}

absl::Status ShowSubscriber(Session& session, const std::string& instance) {
  v1::GetSubscriberRequest request;
  request.set_instance(instance);
  v1::Subscriber one;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetSubscriber", request, one));
  PrintSubscriberText(session, one);
  return absl::OkStatus();
}

struct EvictOptions {
  std::string instance;
  std::string id;
  std::string node;
  std::string uid;
};

void BindEvict(CLI::App& app, EvictOptions& options) {
  app.add_option("INSTANCE", options.instance, "One, as `meshca subscriber list` shows it");
  app.add_option("--id", options.id, "Every one whose SPIFFE ID fits, such as 'spiffe://td/ns/web/*'")
      ->type_name("GLOB");
  app.add_option("--node", options.node, "Every one whose node id fits, such as 'node-*'")->type_name("GLOB");
  app.add_option("--uid", options.uid, "Every one that is a process of this user on the API socket")->type_name("N");
}

absl::Status CheckGiven(const EvictOptions& options) {
  const absl::Status one = CheckExactlyOne({{"INSTANCE", !options.instance.empty()},
                                            {"--id", !options.id.empty()},
                                            {"--node", !options.node.empty()},
                                            {"--uid", !options.uid.empty()}},
                                           "`meshca subscriber list` shows whom they may name");
  return one.ok() ? one : UsageError(absl::StrCat("evict: ", one.message()));
}

void PrintEvicted(const v1::EvictSubscribersResponse& evicted) {
  const int count = evicted.subscribers_size();
  if (count == 0) {
    PutText(stdout, "nobody was evicted: no subscriber fits that has not been evicted before\n");
    return;
  }
  Out("evicted %d %s: no rotation waits for %s any more\n", count, count == 1 ? "subscriber" : "subscribers",
      count == 1 ? "it" : "them");
  if (evicted.ended() == 0) return;
  Out("%llu of them connected: their streams are ended; who comes back counts anew, as one that has acknowledged "
      "nothing\n",
      static_cast<unsigned long long>(evicted.ended()));
}

absl::Status Evict(Session& session, EvictOptions& options) {
  MESHCA_RETURN_IF_ERROR(CheckGiven(options));
  v1::EvictSubscribersRequest request;
  request.set_instance(options.instance);
  request.set_spiffe_id_glob(options.id);
  request.set_node_glob(options.node);
  if (!options.uid.empty()) {
    uint32_t uid = 0;
    if (!absl::SimpleAtoi(options.uid, &uid)) {
      return UsageError(absl::StrCat("--uid: expects the number of a user such as 1000, not \"", options.uid, "\""));
    }
    request.set_uid(uid);
  }
  v1::EvictSubscribersResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("EvictSubscribers", request, response, {.timeout = kEvictTimeout}));
  if (!options.instance.empty()) {
    PrintSubscriberText(session, response.subscribers(0));
  } else if (session.format == OutputFormat::kTable) {
    PrintEvicted(response);
  } else {
    PrintList(session, {"INSTANCE"}, response.subscribers(),
              [](const v1::Subscriber& one) -> std::vector<std::string> { return {one.instance()}; });
  }
  return absl::OkStatus();
}

}  // namespace

void AddSubscriber(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "subscriber", "Who takes secrets from this server, and what they acknowledged");
  AddVerb(*noun, session, "list", "Every subscriber, connected or remembered", ListSubscribers);
  const IdArgument instance = {"INSTANCE", "As `meshca subscriber list` shows it"};
  AddIdVerb(*noun, session, "show", "One subscriber", instance, ShowSubscriber);
  AddVerb<EvictOptions>(*noun, session, "evict",
                        "No rotation waits for it any more: it is gone for good, or silent; streams are ended",
                        BindEvict, Evict);
}

}  // namespace meshca::cli
