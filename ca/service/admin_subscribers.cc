// Who takes secrets from this server, and what they acknowledged.
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"

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
  message.set_bundle_sequence(record.bundle_sequence);
  message.set_serial(record.serial);
  message.set_version_info(record.version_info);
  SetTime(record.acknowledged_at, [&] { return message.mutable_acknowledged_at(); });
  SetTime(record.certificate_expires, [&] { return message.mutable_certificate_expires(); });
  message.set_rejected(record.rejected);
  message.set_authority_id(record.authority_id);
  SetTime(record.evicted_at, [&] { return message.mutable_evicted_at(); });
  return message;
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
  if (request.instance().empty()) {
    return absl::InvalidArgumentError("instance is empty; `meshca subscriber list` shows them");
  }
  const absl::StatusOr<SubscriberRecord> evicted = context.subscribers.Evict(request.instance());
  if (absl::IsNotFound(evicted.status())) return NoSubscriber(request.instance());
  MESHCA_RETURN_IF_ERROR(evicted.status());
  AuditEntry audit;
  audit.time = context.clock.Now();
  audit.actor = actor;
  audit.action = "subscriber.evict";
  audit.target = evicted->instance;
  audit.detail = evicted->spiffe_id;
  MESHCA_RETURN_IF_ERROR(context.maintenance.RecordAudit(audit));
  LogInfo("subscriber evicted: no rotation waits for it",
          {{"instance", evicted->instance}, {"spiffe_id", evicted->spiffe_id}, {"actor", actor}});
  return Message(*evicted);
}

}  // namespace meshca::admin_methods
