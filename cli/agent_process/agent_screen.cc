#include "cli/agent_process/agent_screen.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/utc_text.h"
#include "cli/process/socket_reach.h"

namespace meshca::cli {

std::string AgentScreen::ToText() const {
  std::string text = absl::StrCat("meshca ", version, "  agent of node ", node, "  trust domain ", trust_domain,
                                  joined_now ? "  (joined now)" : "", "\n");
  absl::StrAppend(&text, "CA           ", absl::StrJoin(servers, " "), "  root ", root_fingerprint, "\n");
  absl::StrAppend(&text, "SDS, Workload API  unix://", api_socket, "  state ", state_dir, "  certificate until ",
                  DateText(certificate_ends), "\n");
  absl::StrAppend(&text, "HTTP         ", http_address, http_address == "off" ? " (probes: meshca health --agent)" : "",
                  "  admin  unix://", admin_socket, "\n");
  absl::StrAppend(&text, ShutSocketNote(api_socket_shut));
  absl::StrAppend(&text, "next         meshca workload x509 --agent", place_flag, "\n");
  return text;
}

}  // namespace meshca::cli
