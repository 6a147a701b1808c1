// meshca root rotate|status|prepare|activate|retire|abort|rollback|taint
#include "cli/commands/root_rotation_command.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/status.h"
#include "ca/service/proto_time.h"
#include "cli/commands/authority_table.h"
#include "cli/commands/durations.h"
#include "cli/commands/subcommand.h"
#include "cli/rotation/rotation_display.h"
#include "cli/rotation/rotation_follow.h"
#include "cli/rotation/rotation_view.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

// An order judges the whole inventory: seconds where millions of certificates live.
constexpr absl::Duration kOrderTimeout = absl::Minutes(2);
constexpr absl::Duration kLookTimeout = absl::Seconds(10);

struct RotateOptions {
  bool plan = false;
  bool emergency = false;
  bool detach = false;
  bool confirm_external = false;
  bool wait = false;
  std::string deadline;
};

struct StatusOptions {
  bool watch = false;
};

struct ForceOptions {
  bool force = false;
  bool confirm_external = false;
};

constexpr char kConfirmExternal[] =
    "You have seen to it that consumers which nothing here can observe trust the new root";

absl::StatusOr<v1::RotationStatus> GetRotation(Session& session) {
  v1::RotationStatus status;
  const absl::Status asked =
      session.CallAdmin("GetRotation", v1::GetRotationRequest(), status, {.timeout = kLookTimeout});
  // A connection that broke would be mended when its library pleases; a new one is there at once.
  if (IsPassing(asked)) session.Disconnect();
  MESHCA_RETURN_IF_ERROR(asked);
  return status;
}

// Gives an order and prints what has become of the rotation.
absl::Status Order(Session& session, absl::string_view method, const google::protobuf::Message& request) {
  v1::RotationStatus status;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin(method, request, status, {.timeout = kOrderTimeout}));
  session.Print(status, [&] { PrintRotation(status, stdout); });
  return absl::OkStatus();
}

absl::Status Conclude(RotationOutcome outcome, const v1::RotationStatus& followed, const v1::RotationStatus& last,
                      OutputFormat format) {
  const uint64_t number = followed.number();
  switch (outcome) {
    case RotationOutcome::kDetached:
      Err("rotation %llu goes on; `meshca root status --watch` returns to it\n",
          static_cast<unsigned long long>(number));
      return absl::OkStatus();
    case RotationOutcome::kAborted:
      return WithReason(
          absl::AbortedError(absl::StrCat("rotation ", number, " was aborted: root ", followed.old_root_id(),
                                          " signs as before; `meshca audit list` says who did it, and "
                                          "whether root ",
                                          followed.new_root_id(), " is still trusted")),
          "ROTATION_ABORTED");
    case RotationOutcome::kRolledBack:
      return WithReason(
          absl::AbortedError(absl::StrCat("rotation ", number, " was rolled back: root ", followed.old_root_id(),
                                          " signs again, and ", followed.new_root_id(),
                                          " is retired in its place; `meshca audit list` says who did it")),
          "ROTATION_ROLLED_BACK");
    case RotationOutcome::kDone: break;
  }
  if (format != OutputFormat::kTable) return absl::OkStatus();
  const std::string took = ShortDuration(ToTime(last.now()) - ToTime(followed.started_at()));
  Out("rotation %llu is done, begun %s ago: root %s is trusted alone, %s is retired\n",
      static_cast<unsigned long long>(number), took, last.new_root_id(), last.old_root_id());
  if (!last.forced().empty()) Out("forced: %s\n", last.forced());
  return absl::OkStatus();
}

// Shows `status` and what becomes of it, until the rotation has ended or Ctrl-C.
absl::Status Follow(Session& session, v1::RotationStatus status) {
  const v1::RotationStatus followed = status;
  Interrupt interrupt;
  const std::unique_ptr<RotationDisplay> display = MakeDisplay(session.format);
  const auto ask = [&session] { return GetRotation(session); };
  // Whoever read the output is gone: as good as Ctrl-C.
  const auto wait = [&interrupt](absl::Duration time) { return interrupt.Wait(time) || OutputBroken(); };
  MESHCA_ASSIGN_OR_RETURN(const RotationOutcome outcome, FollowRotation(status, {ask, wait, SystemClock(), *display}));
  return Conclude(outcome, followed, status, session.format);
}

void BindRotate(CLI::App& app, RotateOptions& options) {
  CLI::Option* const plan =
      app.add_flag("--plan", options.plan, "Only say what would happen, how long it would take, and who would break");
  CLI::Option* const emergency = app.add_flag("--emergency", options.emergency,
                                              "The present root's key is taken for stolen: it is tainted, and goes at "
                                              "once; subscribers that are silent are named, "
                                              "and hold up each step for rotation.emergency_grace (5m) at most");
  CLI::Option* const deadline =
      app.add_option("--deadline", options.deadline,
                     "Of an emergency: whoever is behind after that long (1h, 30m) is cut off; default: nobody is but "
                     "subscribers that are silent")
          ->type_name("DURATION")
          ->needs(emergency);
  app.add_flag("--wait", options.wait, "Of an emergency: wait for subscribers that are silent too, however long")
      ->needs(emergency)
      ->excludes(deadline);
  CLI::Option* const detach = app.add_flag("--detach", options.detach, "Begin it and return; it goes on by itself");
  CLI::Option* const confirm = app.add_flag("--confirm-external", options.confirm_external, kConfirmExternal);
  plan->excludes(emergency)->excludes(detach)->excludes(confirm);
}

absl::Status Plan(Session& session) {
  v1::RotationForecast forecast;
  MESHCA_RETURN_IF_ERROR(
      session.CallAdmin("ForecastRotation", v1::ForecastRotationRequest(), forecast, {.timeout = kOrderTimeout}));
  session.Print(forecast, [&] { PrintForecast(forecast, stdout); });
  return absl::OkStatus();
}

// A rotation that runs already is as good, if it is the one that was asked for.
bool IsAsWanted(const v1::RotationStatus& running, const RotateOptions& options) {
  return running.running() && running.automatic() && !running.rolled_back() && options.deadline.empty() &&
         (running.emergency() || !options.emergency) && (!running.has_emergency_grace() || !options.wait) &&
         (running.external_confirmed() || !options.confirm_external);
}

absl::StatusOr<v1::RotationStatus> BeginOrJoin(Session& session, const RotateOptions& options) {
  v1::BeginRotationRequest request;
  request.set_automatic(true);
  request.set_emergency(options.emergency);
  request.set_confirm_external(options.confirm_external);
  request.set_wait(options.wait);
  if (!options.deadline.empty()) {
    MESHCA_RETURN_IF_ERROR(ReadDuration("--deadline", options.deadline, *request.mutable_deadline()));
    if (ToDuration(request.deadline()) <= absl::ZeroDuration()) return UsageError("--deadline: must be above 0");
  }
  v1::RotationStatus begun;
  const absl::Status status = session.CallAdmin("BeginRotation", request, begun, {.timeout = kOrderTimeout});
  if (status.ok()) return begun;
  if (ReasonOf(status) != "ROTATION_RUNS") return status;
  MESHCA_ASSIGN_OR_RETURN(v1::RotationStatus running, GetRotation(session));
  if (!IsAsWanted(running, options)) return status;
  Err("rotation %llu runs already\n", static_cast<unsigned long long>(running.number()));
  return running;
}

absl::Status Rotate(Session& session, RotateOptions& options) {
  if (options.plan) return Plan(session);
  MESHCA_ASSIGN_OR_RETURN(const v1::RotationStatus status, BeginOrJoin(session, options));
  if (options.detach) {
    for (const std::string& line : EmergencyLines(status)) Err("%s\n", line);
    session.Print(status, [&] { PrintRotation(status, stdout); });
    return absl::OkStatus();
  }
  Err("rotation %llu: root %s goes, %s stays; Ctrl-C leaves it running\n",
      static_cast<unsigned long long>(status.number()), ShortId(status.old_root_id()), ShortId(status.new_root_id()));
  for (const std::string& line : EmergencyLines(status)) Err("%s\n", line);
  return Follow(session, status);
}

void BindStatus(CLI::App& app, StatusOptions& options) {
  app.add_flag("--watch", options.watch, "Follow it until it has ended or Ctrl-C, which leaves it running");
}

absl::Status Status(Session& session, StatusOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const v1::RotationStatus status, GetRotation(session));
  if (options.watch && status.running()) return Follow(session, status);
  session.Print(status, [&] { PrintRotation(status, stdout); });
  return absl::OkStatus();
}

// Begins one that waits for `activate` and `retire`.
absl::Status Prepare(Session& session) { return Order(session, "BeginRotation", v1::BeginRotationRequest()); }

void BindActivate(CLI::App& app, ForceOptions& options) {
  app.add_flag("--force", options.force, "Even if somebody breaks: who it was is recorded");
}

absl::Status Activate(Session& session, ForceOptions& options) {
  v1::ActivateRootRequest request;
  request.set_force(options.force);
  return Order(session, "ActivateRoot", request);
}

void BindRetire(CLI::App& app, ForceOptions& options) {
  BindActivate(app, options);
  app.add_flag("--confirm-external", options.confirm_external, kConfirmExternal);
}

absl::Status Retire(Session& session, ForceOptions& options) {
  v1::RetireRootRequest request;
  request.set_force(options.force);
  request.set_confirm_external(options.confirm_external);
  return Order(session, "RetireRoot", request);
}

absl::Status Abort(Session& session) { return Order(session, "AbortRotation", v1::AbortRotationRequest()); }

absl::Status Rollback(Session& session) { return Order(session, "RollBackRotation", v1::RollBackRotationRequest()); }

absl::Status Taint(Session& session, const std::string& id) {
  v1::TaintAuthorityRequest request;
  request.set_id(id);
  v1::ListAuthoritiesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("TaintAuthority", request, response, {.timeout = kOrderTimeout}));
  PrintAuthorities(session, response);
  return absl::OkStatus();
}

}  // namespace

void AddRootRotation(CLI::App& noun, Session& session) {
  AddVerb<RotateOptions>(noun, session, "rotate", "Replace the root by a new one, each step when nobody would break",
                         BindRotate, Rotate);
  AddVerb<StatusOptions>(noun, session, "status", "Where the rotation stands, and who is behind", BindStatus, Status);
  AddVerb(noun, session, "prepare", "By hand, first step: make a new root and publish it beside the present one",
          Prepare);
  AddVerb<ForceOptions>(noun, session, "activate", "By hand, second step: sign under the new root; exit 3 if unsafe",
                        BindActivate, Activate);
  AddVerb<ForceOptions>(noun, session, "retire", "By hand, last step: trust the new root alone; exit 3 if unsafe",
                        BindRetire, Retire);
  AddVerb(noun, session, "abort", "Before activation: take the rotation back", Abort);
  AddVerb(noun, session, "rollback", "From activation to retirement: the old root signs again, the new one goes",
          Rollback);
  AddIdVerb(noun, session, "taint", "Take an authority's key for stolen",
            {"ID", "Its id, or the first 8 characters or more, as `meshca root show` prints it"}, Taint);
}

}  // namespace meshca::cli
