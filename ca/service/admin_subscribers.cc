// Who takes secrets from this server, and what they acknowledged.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/exactly_one.h"
#include "ca/base/glob.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "ca/subscribers/subscriber_principal.h"

namespace meshca::admin_methods {
namespace {

v1::Subscriber Message(const SubscriberRecord& record) {
  v1::Subscriber message;
  message.set_instance(record.instance);
  message.set_spiffe_id(record.spiffe_id);
  message.set_node(record.node);
  message.set_kind(record.kind);
  message.set_peer(record.peer);
  message.set_connected(record.connected);
  SetTime(record.first_seen, [&] { return message.mutable_first_seen(); });
  SetTime(record.last_seen, [&] { return message.mutable_last_seen(); });
  message.set_bundle_sequence(record.trust_version);
  message.set_serial(record.serial);
  message.set_version_info(record.version_info);
  SetTime(record.acknowledged_at, [&] { return message.mutable_acknowledged_at(); });
  SetTime(record.delivered_at, [&] { return message.mutable_delivered_at(); });
  message.set_takes_jwt_keys(record.takes_jwt_keys);
  SetTime(record.certificate_expires, [&] { return message.mutable_certificate_expires(); });
  message.set_rejected(record.rejected);
  message.set_authority_id(record.authority_id);
  SetTime(record.evicted_at, [&] { return message.mutable_evicted_at(); });
  if (const std::optional<uint32_t> uid = SubscriberUid(record); uid.has_value()) message.set_uid(*uid);
  return message;
}

// Which subscribers are meant, for the registry and for the audit log.
struct Selection {
  std::function<bool(const SubscriberRecord&)> fits;
  std::string text;
};

absl::StatusOr<Selection> SelectionOf(const v1::EvictSubscribersRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckExactlyOne({{"instance", !request.instance().empty()},
                                          {"spiffe_id_glob", !request.spiffe_id_glob().empty()},
                                          {"node_glob", !request.node_glob().empty()},
                                          {"uid", request.has_uid()}},
                                         "`meshca subscriber list` shows what they are"));
  Selection selection;
  if (!request.instance().empty()) {
    selection.text = request.instance();
    selection.fits = [instance = request.instance()](const auto& record) { return record.instance == instance; };
  } else if (!request.spiffe_id_glob().empty()) {
    selection.text = absl::StrCat("id ", request.spiffe_id_glob());
    selection.fits = [glob = request.spiffe_id_glob()](const auto& record) {
      return GlobMatches(glob, record.spiffe_id);
    };
  } else if (!request.node_glob().empty()) {
    selection.text = absl::StrCat("node ", request.node_glob());
    selection.fits = [glob = request.node_glob()](const auto& record) { return GlobMatches(glob, record.node); };
  } else {
    selection.text = absl::StrCat("uid ", request.uid());
    selection.fits = [uid = request.uid()](const auto& record) { return SubscriberUid(record) == uid; };
  }
  return selection;
}

// "3 subscribers, 1 of them connected: spiffe://td/web on node-1 (9f..), ...".
std::string AuditText(const LiveSubscribers::Evicted& evicted) {
  constexpr size_t kNamed = 10;
  std::string text =
      absl::StrCat(evicted.records.size(), evicted.records.size() == 1 ? " subscriber, " : " subscribers, ",
                   evicted.ended, " connected:");
  for (size_t i = 0; i < evicted.records.size() && i < kNamed; ++i) {
    const SubscriberRecord& record = evicted.records[i];
    absl::StrAppend(&text, i == 0 ? " " : ", ", record.spiffe_id.empty() ? "(no identity)" : record.spiffe_id,
                    record.node.empty() ? "" : " on ", record.node, " (", record.instance, ")");
  }
  if (evicted.records.size() > kNamed) absl::StrAppend(&text, " and ", evicted.records.size() - kNamed, " more");
  return text;
}

absl::Status NoSubscriber(const std::string& instance) {
  return absl::NotFoundError(
      absl::StrCat("no subscriber \"", instance, "\"; `meshca subscriber list` shows their instances"));
}

}  // namespace

absl::StatusOr<v1::ListSubscribersResponse> ListSubscribers(const AdminContext& context, const std::string& actor,
                                                            const v1::ListSubscribersRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<SubscriberRecord> records, context.subscribers.List());
  v1::ListSubscribersResponse response;
  for (const SubscriberRecord& record : records) *response.add_subscribers() = Message(record);
  return response;
}

absl::StatusOr<v1::Subscriber> GetSubscriber(const AdminContext& context, const std::string& actor,
                                             const v1::GetSubscriberRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<SubscriberRecord> records, context.subscribers.List());
  for (const SubscriberRecord& record : records) {
    if (record.instance == request.instance()) return Message(record);
  }
  return NoSubscriber(request.instance());
}

absl::StatusOr<v1::Subscriber> EvictSubscriber(const AdminContext& context, const std::string& actor,
                                               const v1::EvictSubscriberRequest& request) {
  v1::EvictSubscribersRequest one;
  one.set_instance(request.instance());
  MESHCA_ASSIGN_OR_RETURN(const v1::EvictSubscribersResponse evicted, EvictSubscribers(context, actor, one));
  return evicted.subscribers(0);
}

absl::StatusOr<v1::EvictSubscribersResponse> EvictSubscribers(const AdminContext& context, const std::string& actor,
                                                              const v1::EvictSubscribersRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const Selection selection, SelectionOf(request));
  MESHCA_ASSIGN_OR_RETURN(LiveSubscribers::Evicted evicted, context.subscribers.Evict(selection.fits));
  v1::EvictSubscribersResponse response;
  response.set_ended(evicted.ended);
  for (const SubscriberRecord& record : evicted.records) *response.add_subscribers() = Message(record);
  if (!evicted.records.empty()) {
    AuditEntry audit;
    audit.time = context.clock.LikelyNow();
    audit.actor = actor;
    audit.action = "subscriber.evict";
    audit.target = selection.text;
    audit.detail = AuditText(evicted);
    MESHCA_RETURN_IF_ERROR(
        Annotate(context.maintenance.RecordAudit(audit), "they are evicted, but the audit log does not say so"));
    LogInfo("subscribers evicted: no rotation waits for them",
            {{"selection", selection.text}, {"count", std::to_string(evicted.records.size())}, {"actor", actor}});
    return response;
  }
  if (request.instance().empty()) return response;
  // It was evicted before, or there is none.
  v1::GetSubscriberRequest before;
  before.set_instance(request.instance());
  MESHCA_ASSIGN_OR_RETURN(*response.add_subscribers(), GetSubscriber(context, actor, before));
  return response;
}

}  // namespace meshca::admin_methods
