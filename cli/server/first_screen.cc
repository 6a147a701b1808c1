#include "cli/server/first_screen.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ca/base/utc_text.h"
#include "cli/process/socket_reach.h"

namespace meshca::cli {

std::string FirstScreen::ToText() const {
  std::string text = absl::StrFormat("meshca %s  trust domain %s%s\n", version, trust_domain,
                                     root_is_new ? "  (change it before first use: --trust-domain)" : "");
  absl::StrAppend(&text, "root         ", root_fingerprint, root_is_new ? "  new" : "", "  until ", DateText(root_ends),
                  "  state ", state_dir, "\n");
  absl::StrAppend(&text, "CSR service  ", grpc_address, "  SDS  unix://", api_socket, "\n");
  absl::StrAppend(&text, "HTTP         ", http_address, http_address == "off" ? " (probes: meshca health)" : "",
                  "  admin  unix://", admin_socket, "\n");
  absl::StrAppend(&text, ShutSocketNote(api_socket_shut));
  absl::StrAppend(&text, "next         meshca request spiffe://", trust_domain, "/demo --out-dir demo", place_flag,
                  "\n");
  return text;
}

}  // namespace meshca::cli
