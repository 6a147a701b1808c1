#include "cli/config/rules.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"
#include "ca/x509/dns_name.h"
#include "cli/config/flags.h"

namespace meshca::config {
namespace {

void CheckSocket(const std::string& key, const std::string& path, Rules& rules) {
  constexpr size_t kBytesMax = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() <= kBytesMax) return;
  const Origin origin = rules.OriginOf(key);
  rules.Fault(key, absl::StrCat("the path of a Unix socket has at most ", kBytesMax, " bytes, and ", path, " has ",
                                path.size(), ": give a shorter ",
                                origin.kind == OriginKind::kDefault
                                    ? absl::StrCat("--state-dir, or ", FindConfigFlag(key)->flag)
                                    : std::string("one")));
}

}  // namespace

void Rules::Fault(const std::string& key, absl::string_view sentence) {
  const Origin origin = OriginOf(key);
  switch (origin.kind) {
    case OriginKind::kDefault: return faults_.Add({}, key, sentence);
    case OriginKind::kFile: return faults_.Add({}, absl::StrCat(origin.where, ": ", key), sentence);
    default: return faults_.Add({}, origin.where, sentence);
  }
}

Origin Rules::OriginOf(const std::string& key) const {
  auto it = origins_.find(key);
  // An item of a list of scalars: its list.
  if (it == origins_.end() && absl::EndsWith(key, "]")) it = origins_.find(key.substr(0, key.rfind('[')));
  return it == origins_.end() ? Origin() : it->second;
}

void CheckSocketPaths(const std::string& admin_socket, const std::string& api_socket, Rules& rules) {
  CheckSocket("admin_socket", admin_socket, rules);
  CheckSocket("api_socket", api_socket, rules);
  if (admin_socket == api_socket) {
    rules.Fault("api_socket", absl::StrCat(api_socket, " is taken: admin_socket has it already"));
  }
}

// HOST:PORT as ca/rpc and the HTTP server take it. `scheme` is what is spoken there.
absl::Status CheckAddress(absl::string_view address, absl::string_view scheme) {
  MESHCA_RETURN_IF_ERROR(WithoutScheme(address, scheme).status());
  absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("expects HOST:PORT such as 127.0.0.1:15012, [::1]:0 or :15012, not \"", address, "\""));
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return wrong;
  const absl::string_view port = address.substr(colon + 1);
  std::string host(address.substr(0, colon));
  int number = 0;
  if (port.empty() || !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) || !absl::SimpleAtoi(port, &number) ||
      number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(wrong.message(), ": the port is a number from 0 to 65535"));
  }
  if (absl::StartsWith(host, "[")) {
    in6_addr ignored;
    const bool good = host.back() == ']' && inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &ignored) == 1;
    return good ? absl::OkStatus() : wrong;
  }
  in_addr ignored;
  if (host.empty() || inet_pton(AF_INET, host.c_str(), &ignored) == 1) return absl::OkStatus();
  const bool digits_only =
      std::all_of(host.begin(), host.end(), [](char c) { return c == '.' || absl::ascii_isdigit(c); });
  return digits_only || !CheckDnsName(host).ok() || host[0] == '*' ? wrong : absl::OkStatus();
}

}  // namespace meshca::config
