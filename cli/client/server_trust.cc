#include "cli/client/server_trust.h"

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "ca/identity/join_token_text.h"
#include "ca/x509/certificate.h"
#include "cli/client/credential_files.h"
#include "cli/client/root_probe.h"

namespace meshca::cli {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;
constexpr absl::Duration kProbeTimeout = absl::Seconds(10);

absl::StatusOr<std::string> RootsFromFile(const std::string& path) {
  MESHCA_ASSIGN_OR_RETURN(std::string pem, ReadFile(path, kFileBytesMax, FileSecrecy::kPublic));
  const auto roots = Certificate::ParseAll(Pem(pem));
  if (!roots.ok()) return Annotate(roots.status(), path);
  return pem;
}

absl::StatusOr<std::string> RootByFingerprint(absl::string_view spki_sha256, const std::string& address) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<Certificate> chain, FetchServerChain(address, kProbeTimeout));
  absl::StatusOr<Certificate> root = FindRoot(chain, spki_sha256);
  if (!root.ok()) return Annotate(root.status(), address);
  return root->pem().text();
}

}  // namespace

absl::StatusOr<std::string> RootsFor(const ServerTrust& trust, const std::string& address) {
  if (!trust.ca_cert_file.empty()) return RootsFromFile(trust.ca_cert_file);
  if (!trust.ca_fingerprint.empty()) {
    absl::StatusOr<std::string> fingerprint = ParseFingerprint(trust.ca_fingerprint);
    if (!fingerprint.ok()) return WithReason(Annotate(fingerprint.status(), "--ca-fingerprint"), "USAGE");
    return RootByFingerprint(*fingerprint, address);
  }
  if (LooksLikeJoinToken(trust.token)) {
    absl::StatusOr<JoinTokenText> token = ParseJoinToken(trust.token);
    if (!token.ok()) return WithReason(Annotate(token.status(), "the join token (--token-file, --token)"), "USAGE");
    return RootByFingerprint(token->root_spki_sha256, address);
  }
  if (!trust.certificate_file.empty()) {
    const std::string beside = std::filesystem::path(trust.certificate_file).replace_filename(kRootFile).string();
    if (std::filesystem::exists(beside)) return RootsFromFile(beside);
  }
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          "nothing says how to know the CA at ", address,
          "; give --ca-fingerprint HEX (`meshca root show` on its host), --ca-cert FILE, or a join token")),
      "USAGE");
}

}  // namespace meshca::cli
