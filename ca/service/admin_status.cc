// The server at a glance.
#include <string>

#include "ca/authority/authority_lookup.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"

namespace meshca::admin_methods {
namespace {

// Numbers that the database must be asked for. One that cannot answer is said so in `store.error`, not an error of
// the call: status is what an operator looks at when the database is away.
absl::Status FillCounts(const AdminContext& context, absl::Time now, v1::ServerStatus& status) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t recorded, context.issuances.CountIssuances());
  status.set_certificates_recorded(recorded);
  MESHCA_ASSIGN_OR_RETURN(const auto live, context.authority_store.CountLiveLeaves(now));
  uint64_t sum = 0;
  for (const auto& [id, count] : live) sum += count;
  status.set_certificates_live(sum);
  MESHCA_ASSIGN_OR_RETURN(const auto subscribers, context.subscribers.List());
  status.set_subscribers_known(subscribers.size());
  uint64_t connected = 0;
  for (const SubscriberRecord& subscriber : subscribers) connected += subscriber.connected ? 1 : 0;
  status.set_subscribers_connected(connected);
  return absl::OkStatus();
}

void FillStore(const StoreHealth& health, v1::StoreStatus& store) {
  if (!health.writable.ok()) store.set_error(std::string(health.writable.message()));
  store.set_queued(health.queued);
  store.set_batches(health.batches);
  store.set_records(health.records);
  store.set_database_bytes(health.database_bytes);
  store.set_schema_version(health.schema_version);
}

}  // namespace

absl::StatusOr<v1::ServerStatus> GetStatus(const AdminContext& context, const std::string& actor,
                                           const v1::GetStatusRequest& request) {
  const absl::Time now = context.clock.Now();
  v1::ServerStatus status;
  status.set_version(context.facts.version);
  status.set_trust_domain(context.facts.trust_domain.name());
  status.set_state_dir(context.facts.state_dir);
  SetTime(context.facts.started_at, [&] { return status.mutable_started_at(); });
  SetTime(now, [&] { return status.mutable_now(); });
  const absl::Status ready = context.readiness ? context.readiness() : absl::OkStatus();
  status.set_ready(ready.ok());
  if (!ready.ok()) status.set_not_ready_reason(std::string(ready.message()));
  const auto listeners = context.listeners ? context.listeners() : decltype(context.listeners()){};
  for (const auto& [name, address] : listeners) {
    v1::Listener* listener = status.add_listeners();
    listener->set_name(name);
    listener->set_address(address);
  }
  if (const auto snapshot = context.authorities.Current()) {
    if (snapshot->issuing != nullptr) *status.mutable_issuing() = AuthorityMessage(*snapshot->issuing, 0);
    if (const auto root = ActiveRoot(*snapshot); root.ok()) *status.mutable_root() = AuthorityMessage(*root, 0);
    if (snapshot->bundle != nullptr) {
      status.set_bundle_sequence(snapshot->bundle->sequence_number);
      status.set_bundle_roots(static_cast<uint32_t>(snapshot->bundle->roots.size()));
    }
    if (snapshot->unrecorded.has_value()) {
      v1::UnrecordedRenewal& renewal = *status.mutable_unrecorded_renewal();
      SetTime(snapshot->unrecorded->until, [&] { return renewal.mutable_until(); });
      for (const std::string& id : snapshot->unrecorded->authority_ids) renewal.add_authority_ids(id);
      renewal.set_why(snapshot->unrecorded->why);
    }
  }
  if (context.authority_error) status.set_authority_error(context.authority_error());
  FillStore(context.maintenance.Health(), *status.mutable_store());
  const absl::Status counted = FillCounts(context, now, status);
  if (!counted.ok() && status.store().error().empty()) {
    status.mutable_store()->set_error(std::string(counted.message()));
  }
  return status;
}

}  // namespace meshca::admin_methods
