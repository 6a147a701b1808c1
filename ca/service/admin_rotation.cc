// Rotation of the root: what the operator sees of it, and orders.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_lookup.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"

namespace meshca::admin_methods {
namespace {

absl::Status CheckSupported(const AdminContext& context) {
  if (context.rotation != nullptr) return absl::OkStatus();
  return WithReason(absl::UnimplementedError("this server does not rotate roots"), "ROTATION_UNSUPPORTED");
}

void FillRotation(const RootRotation& rotation, v1::RotationStatus& status) {
  status.set_step(std::string(RotationStepName(rotation.step)));
  status.set_number(rotation.number);
  status.set_running(!rotation.Ended());
  status.set_old_root_id(rotation.old_root_id);
  status.set_new_root_id(rotation.new_root_id);
  status.set_automatic(rotation.automatic);
  status.set_emergency(rotation.emergency);
  status.set_rolled_back(rotation.rolled_back);
  status.set_external_confirmed(rotation.external_confirmed);
  if (rotation.deadline != RootRotation::WaitsForever()) {
    SetTime(rotation.deadline, [&] { return status.mutable_deadline(); });
  }
  status.set_actor(rotation.actor);
  SetTime(rotation.started_at, [&] { return status.mutable_started_at(); });
  SetTime(rotation.step_at, [&] { return status.mutable_step_at(); });
  status.set_bundle_sequence(rotation.bundle_sequence);
  status.set_retire_sequence(rotation.retire_sequence);
  status.set_forced(rotation.forced);
}

void FillReport(const RotationReport& report, v1::RotationStatus& status) {
  status.set_step("none");
  if (report.rotation.has_value()) FillRotation(*report.rotation, status);
  status.set_subscribers(report.evidence.subscribers);
  status.set_subscribers_behind(report.evidence.subscribers_behind);
  status.set_leaves_behind(report.evidence.leaves_behind);
  status.set_reissue_left(report.reissue_left);
  for (const Laggard& laggard : report.evidence.laggards) *status.add_laggards() = LaggardMessage(laggard);
  // A report that judged nothing carries no time of it.
  if (report.as_of != absl::Time()) SetTime(report.as_of, [&] { return status.mutable_as_of(); });
  status.set_waiting_for(report.waiting_for);
  status.set_error(report.error);
  status.set_frozen(report.frozen);
  SetTime(report.ends_about, [&] { return status.mutable_ends_about(); });
  if (report.emergency_grace != absl::InfiniteDuration()) {
    SetDuration(report.emergency_grace, status.mutable_emergency_grace());
  }
  SetTime(report.grace_ends, [&] { return status.mutable_grace_ends(); });
  for (const std::string& warning : report.warnings) status.add_warnings(warning);
}

// The answer to an order that was carried out: its success must not be lost when the picture after it cannot be had.
absl::StatusOr<v1::RotationStatus> StatusAfter(const AdminContext& context, const std::string& actor,
                                               const absl::Status& done) {
  MESHCA_RETURN_IF_ERROR(done);
  absl::StatusOr<v1::RotationStatus> status = GetRotation(context, actor, v1::GetRotationRequest());
  if (status.ok()) return status;
  return Annotate(status.status(), "it was done, and `meshca root status` will show it; now its result cannot be read");
}

absl::StatusOr<RotationOptions> ReadOptions(const v1::BeginRotationRequest& request, absl::Time now) {
  RotationOptions options;
  options.automatic = request.automatic();
  options.emergency = request.emergency();
  options.external_confirmed = request.confirm_external();
  options.waits_for_silent = request.wait();
  if (request.has_deadline()) options.deadline = now + ToDuration(request.deadline());
  MESHCA_RETURN_IF_ERROR(CheckRotationOptions(options, now));
  return options;
}

}  // namespace

v1::Laggard LaggardMessage(const Laggard& laggard) {
  v1::Laggard message;
  message.set_reason(std::string(LaggardReasonName(laggard.reason)));
  message.set_spiffe_id(laggard.spiffe_id);
  message.set_instance(laggard.instance);
  message.set_node(laggard.node);
  message.set_via(laggard.via);
  message.set_connected(laggard.connected);
  message.set_bundle_sequence(laggard.trust_version);
  message.set_serial(laggard.serial);
  SetTime(laggard.since, [&] { return message.mutable_since(); });
  SetTime(laggard.until, [&] { return message.mutable_until(); });
  SetTime(laggard.renews_by, [&] { return message.mutable_renews_by(); });
  message.set_detail(laggard.detail);
  return message;
}

absl::StatusOr<v1::RotationStatus> GetRotation(const AdminContext& context, const std::string& actor,
                                               const v1::GetRotationRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  v1::ListAuthoritiesRequest everything;
  everything.set_include_retired(true);
  MESHCA_ASSIGN_OR_RETURN(v1::ListAuthoritiesResponse list, ListAuthorities(context, actor, everything));
  v1::RotationStatus status;
  FillReport(context.rotation->Report(), status);
  for (v1::Authority& authority : *list.mutable_authorities()) {
    if (authority.role() == "root") *status.add_roots() = std::move(authority);
  }
  if (context.authority_error) status.set_authority_error(context.authority_error());
  SetTime(context.clock.Now(), [&] { return status.mutable_now(); });
  return status;
}

absl::StatusOr<v1::RotationForecast> ForecastRotation(const AdminContext& context, const std::string& actor,
                                                      const v1::ForecastRotationRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  MESHCA_ASSIGN_OR_RETURN(const RotationForecast forecast, context.rotation->Forecast());
  v1::RotationForecast message;
  for (const RotationForecast::Step& step : forecast.steps) {
    v1::RotationForecast::Step& each = *message.add_steps();
    each.set_step(std::string(RotationStepName(step.step)));
    each.set_what(step.what);
    if (step.about != absl::InfiniteDuration()) SetDuration(step.about, each.mutable_about());
  }
  if (forecast.total != absl::InfiniteDuration()) SetDuration(forecast.total, message.mutable_total());
  message.set_subscribers(forecast.subscribers);
  message.set_live_leaves(forecast.live_leaves);
  message.set_subscribers_at_risk(forecast.at_risk.subscribers_behind);
  message.set_leaves_at_risk(forecast.at_risk.leaves_behind);
  for (const Laggard& laggard : forecast.at_risk.laggards) *message.add_at_risk() = LaggardMessage(laggard);
  for (const std::string& warning : forecast.warnings) message.add_warnings(warning);
  return message;
}

absl::StatusOr<v1::RotationStatus> BeginRotation(const AdminContext& context, const std::string& actor,
                                                 const v1::BeginRotationRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const RotationOptions options, ReadOptions(request, context.clock.Now()));
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  return StatusAfter(context, actor, context.rotation->Begin(options, actor));
}

absl::StatusOr<v1::RotationStatus> ActivateRoot(const AdminContext& context, const std::string& actor,
                                                const v1::ActivateRootRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  return StatusAfter(context, actor, context.rotation->Activate(request.force(), actor));
}

absl::StatusOr<v1::RotationStatus> RetireRoot(const AdminContext& context, const std::string& actor,
                                              const v1::RetireRootRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  return StatusAfter(context, actor, context.rotation->Retire(request.force(), request.confirm_external(), actor));
}

absl::StatusOr<v1::RotationStatus> AbortRotation(const AdminContext& context, const std::string& actor,
                                                 const v1::AbortRotationRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  return StatusAfter(context, actor, context.rotation->Abort(actor));
}

absl::StatusOr<v1::RotationStatus> RollBackRotation(const AdminContext& context, const std::string& actor,
                                                    const v1::RollBackRotationRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  return StatusAfter(context, actor, context.rotation->Rollback(actor));
}

absl::StatusOr<v1::ListAuthoritiesResponse> TaintAuthority(const AdminContext& context, const std::string& actor,
                                                           const v1::TaintAuthorityRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::string prefix, AuthorityIdPrefix(request.id()));
  MESHCA_RETURN_IF_ERROR(CheckSupported(context));
  MESHCA_RETURN_IF_ERROR(context.rotation->Taint(prefix, actor));
  v1::ListAuthoritiesRequest everything;
  everything.set_include_retired(true);
  return ListAuthorities(context, actor, everything);
}

}  // namespace meshca::admin_methods
