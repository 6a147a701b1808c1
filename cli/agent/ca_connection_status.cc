#include "cli/agent/ca_connection_status.h"

#include "absl/strings/str_cat.h"
#include "ca/base/utc_text.h"

namespace meshca::agent {
namespace {

std::string StateWords(const CaConnectionStatus& status) {
  const std::string since = absl::StrCat(" since ", UtcText(status.since));
  switch (status.state) {
    case CaConnectionState::kConnecting: return absl::StrCat("connecting to the CA at ", status.server);
    case CaConnectionState::kAttached: return absl::StrCat("attached to the CA at ", status.server, since);
    case CaConnectionState::kAway:
      return absl::StrCat("without its CA", since,
                          "; what is valid goes on being served. Tried last: ", status.why.message());
    case CaConnectionState::kNotBelieved:
      return absl::StrCat("without its CA", since, ": what answers at ", status.server,
                          " is not believed to be the CA: ", status.why.message());
    case CaConnectionState::kRefused:
      return absl::StrCat("refused by the CA at ", status.server, since, ": ", status.why.message(),
                          ". To serve this node again it needs a new token, once the node is forgotten where it was "
                          "banned: on the CA's host, meshca token create --node ",
                          status.node.empty() ? "NODE" : status.node, " --replace");
    case CaConnectionState::kNoVersion:
      return absl::StrCat("without its CA", since, ": ", status.why.message(), ". Bring both to neighbouring versions");
    case CaConnectionState::kExpired:
      return absl::StrCat("without a certificate of its own", since, ": ", status.why.message());
    case CaConnectionState::kEnded: return "shut down";
  }
  return "";
}

}  // namespace

absl::string_view CaConnectionStateName(CaConnectionState state) {
  switch (state) {
    case CaConnectionState::kConnecting: return "connecting";
    case CaConnectionState::kAttached: return "attached";
    case CaConnectionState::kAway: return "away";
    case CaConnectionState::kNotBelieved: return "not-believed";
    case CaConnectionState::kRefused: return "refused";
    case CaConnectionState::kNoVersion: return "no-version";
    case CaConnectionState::kExpired: return "expired";
    case CaConnectionState::kEnded: return "ended";
  }
  return "";
}

std::optional<absl::Duration> CaConnectionStatus::ClockAhead(const Clock& clock) const {
  if (!ca_time_at_boot.has_value()) return std::nullopt;
  return clock.Now() - (*ca_time_at_boot + clock.SinceBoot());
}

std::string CaConnectionStatus::Words() const {
  const std::string words = StateWords(*this);
  return trust_refused.ok() ? words : absl::StrCat(words, "; ", trust_refused.message());
}

}  // namespace meshca::agent
