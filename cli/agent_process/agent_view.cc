#include "cli/agent_process/agent_view.h"

#include "absl/strings/str_cat.h"
#include "ca/authority/clock_guard.h"
#include "ca/base/counted.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/service/proto_time.h"

namespace meshca::cli {
namespace {

using State = CheckedFact::State;

std::string NewTokenCommand(const AgentView& view) {
  return absl::StrCat("on the CA's host: meshca token create --node ", view.node,
                      " --out token; put it where token_file is, or start the agent again with --token-file token");
}

CheckedFact ConnectionFact(const AgentView& view) {
  CheckedFact fact{"CA", State::kOk, view.connection.Words(), ""};
  switch (view.connection.state) {
    case agent::CaConnectionState::kAttached: return fact;
    case agent::CaConnectionState::kConnecting:
    case agent::CaConnectionState::kAway:
      fact.state = State::kWarning;
      fact.mend = "see that the CA runs and that this node reaches it; it is tried again and again";
      return fact;
    case agent::CaConnectionState::kExpired: fact.mend = NewTokenCommand(view); break;
    case agent::CaConnectionState::kNotBelieved:
      fact.mend = "see what listens there, and whether `server` names the CA";
      break;
    case agent::CaConnectionState::kNoVersion: fact.mend = "upgrade the older of the two"; break;
    default:
      fact.mend = absl::StrCat("on the CA's host: meshca node show ", view.node);
      if (!view.rejoining.ok()) absl::StrAppend(&fact.detail, "; ", view.rejoining.message());
      break;
  }
  fact.state = State::kFailed;
  return fact;
}

CheckedFact CertificateFact(const AgentView& view) {
  CheckedFact fact{"agent's certificate", State::kOk, absl::StrCat("until ", UtcText(view.certificate_ends)), ""};
  if (view.certificate_ended()) {
    fact.state = State::kFailed;
    fact.detail = absl::StrCat("ended ", UtcText(view.certificate_ends),
                               view.rejoining.ok() ? "" : absl::StrCat("; ", view.rejoining.message()));
    fact.mend = NewTokenCommand(view);
  } else if (!view.renewal.ok()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; its renewal fails: ", view.renewal.message());
    fact.mend = "mend what it names; it is tried again and again";
  }
  return fact;
}

CheckedFact ClockFact(const AgentView& view) {
  CheckedFact fact{"clock", State::kOk, UtcText(view.now), ""};
  const absl::Duration apart = absl::Trunc(absl::AbsDuration(view.clock_ahead), absl::Seconds(1));
  if (apart > ClockGuard::kJumpSlack) {
    const bool ahead = view.clock_ahead > absl::ZeroDuration();
    absl::StrAppend(&fact.detail, "; the machine's clock is ", absl::FormatDuration(apart),
                    ahead ? " ahead of the CA's" : " behind the CA's");
    fact.state = State::kWarning;
  }
  if (!view.clock_believed) {
    absl::StrAppend(&fact.detail, "; it cannot be believed: it moved otherwise than the time since boot");
    fact.state = State::kFailed;
  }
  if (fact.state != State::kOk) fact.mend = "let NTP keep it right; what is held goes on being served meanwhile";
  return fact;
}

CheckedFact KeysFact(const AgentView& view) {
  CheckedFact fact{"keys", State::kOk,
                   absl::StrCat(Counted(view.certificates, "certificate"), " held for workloads, ", view.keys_waiting,
                                " waited for"),
                   ""};
  if (view.connection.state != agent::CaConnectionState::kAttached) {
    absl::StrAppend(&fact.detail, "; no other certificate or JWT-SVID can be had since ",
                    UtcText(view.connection.since), ", until the CA is back");
  }
  if (view.keys_waiting == 0) return fact;
  fact.state = State::kWarning;
  fact.mend = "mend the connection to the CA; the log says what it refuses";
  return fact;
}

// Whether workloads keep their identities where the agent is started again while the CA is away.
CheckedFact KeptKeysFact(const AgentView& view) {
  const KeptKeysView& kept = view.kept;
  CheckedFact fact{"keys over a restart", State::kOk, "", ""};
  if (!kept.on) {
    fact.detail =
        "not kept: no service manager started this agent. Started again while the CA is away, it has no keys for "
        "workloads until the CA is back";
    return fact;
  }
  fact.detail = kept.kept == 0 ? "none yet"
                               : absl::StrCat(kept.kept, " kept by the service manager since ", UtcText(kept.kept_at));
  if (kept.restored > 0) absl::StrAppend(&fact.detail, "; ", kept.restored, " came from the process before");
  if (kept.refused > 0)
    absl::StrAppend(&fact.detail, "; ", kept.refused, " of the process before are not served again");
  if (kept.failure.ok()) return fact;
  fact.state = State::kWarning;
  absl::StrAppend(&fact.detail, "; the newest are not: ", kept.failure.message());
  fact.mend = "mend what it names; it is tried again and again";
  return fact;
}

}  // namespace

absl::Status Ready(const AgentView& view) {
  if (view.trust_version == 0) return absl::UnavailableError("no trust was told yet");
  // Banned, replaced, forgotten: what it held it has dropped or will not renew, and nothing new can be had.
  if (view.connection.state == agent::CaConnectionState::kRefused) {
    return absl::UnavailableError(view.connection.Words());
  }
  if (view.connection.attached_last == absl::InfinitePast()) {
    return absl::UnavailableError(
        absl::StrCat("since its start it has not reached its CA: it serves the trust of before",
                     view.kept.restored == 0 ? "" : absl::StrCat(" and ", view.kept.restored, " keys that were kept"),
                     ", and can get no certificate yet"));
  }
  if (view.certificate_ended()) {
    return absl::UnavailableError(
        absl::StrCat("the agent's own certificate ended ", UtcText(view.certificate_ends), ": nothing new can be had"));
  }
  return absl::OkStatus();
}

std::vector<CheckedFact> CheckAgent(const AgentView& view) {
  std::vector<CheckedFact> facts = {ClockFact(view), ConnectionFact(view), CertificateFact(view)};
  facts.push_back({"trust", view.trust_version == 0 ? State::kFailed : State::kOk,
                   view.trust_version == 0
                       ? "none was told yet"
                       : absl::StrCat("version ", view.trust_version, ", ", Counted(view.roots, "root")),
                   view.trust_version == 0 ? "mend the connection to the CA" : ""});
  facts.push_back({"entries", view.entries_revision == 0 ? State::kWarning : State::kOk,
                   absl::StrCat(view.entries, " for node ", view.node,
                                view.entries_revision == 0 ? ", as they were before the agent started" : ""),
                   view.entries_revision == 0 ? "they come with the connection to the CA" : ""});
  facts.push_back(KeysFact(view));
  facts.push_back(KeptKeysFact(view));
  return facts;
}

admin::v1::ServerStatus StatusMessage(const AgentView& view) {
  admin::v1::ServerStatus status;
  status.set_version(view.version);
  status.set_trust_domain(view.trust_domain);
  status.set_state_dir(view.state_dir);
  SetTime(view.started_at, [&] { return status.mutable_started_at(); });
  SetTime(view.now, [&] { return status.mutable_now(); });
  const absl::Status ready = Ready(view);
  status.set_ready(ready.ok());
  if (!ready.ok()) status.set_not_ready_reason(std::string(ready.message()));
  for (const auto& [name, address] : view.listeners) {
    admin::v1::Listener& listener = *status.add_listeners();
    listener.set_name(name);
    listener.set_address(address);
  }
  status.set_bundle_sequence(view.trust_version);
  status.set_bundle_roots(view.roots);
  admin::v1::AgentStatus& agent = *status.mutable_agent();
  agent.set_node(view.node);
  for (const std::string& server : view.servers) agent.add_servers(server);
  const bool attached = view.connection.state == agent::CaConnectionState::kAttached;
  if (attached) agent.set_connected_to(view.connection.server);
  SetTime(view.connection.since, [&] { return agent.mutable_since(); });
  if (!attached) agent.set_connection_error(view.connection.Words());
  SetTime(view.certificate_ends, [&] { return agent.mutable_certificate_expires(); });
  agent.set_trust_version(view.trust_version);
  agent.set_entries_revision(view.entries_revision);
  agent.set_entries(static_cast<uint32_t>(view.entries));
  agent.set_certificates(static_cast<uint32_t>(view.certificates));
  agent.set_consumers(static_cast<uint32_t>(view.consumers));
  agent.set_consumers_behind(static_cast<uint32_t>(view.consumers_behind));
  return status;
}

}  // namespace meshca::cli
