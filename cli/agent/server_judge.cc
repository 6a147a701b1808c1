#include "cli/agent/server_judge.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"
#include "ca/x509/encoding.h"
#include "cli/client/address.h"
#include "cli/client/root_probe.h"

namespace meshca::agent {
namespace {

constexpr absl::string_view kServerPath = "/meshca/server";
// Stands in every meshca server's certificate, for istio's clients.
constexpr absl::string_view kCommonServerName = "istiod.istio-system.svc";

absl::Status NotBelieved(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::UnauthenticatedError(what), reason);
}

bool HasDnsName(const CertificateFields& leaf, absl::string_view name) {
  return std::any_of(leaf.dns_names.begin(), leaf.dns_names.end(),
                     [&](const std::string& listed) { return absl::EqualsIgnoreCase(listed, name); });
}

absl::Status CheckName(const CertificateFields& leaf, const std::string& address) {
  const std::string host = cli::HostOf(address);
  if (IsIpAddress(host)) {
    const bool listed = std::find(leaf.ip_addresses.begin(), leaf.ip_addresses.end(), host) != leaf.ip_addresses.end();
    if (listed || HasDnsName(leaf, kCommonServerName)) return absl::OkStatus();
  } else if (HasDnsName(leaf, host)) {
    return absl::OkStatus();
  }
  return NotBelieved("SERVER_NAME",
                     absl::StrCat("the server's certificate is not for ", host, " but for ",
                                  leaf.dns_names.empty() ? "no DNS name" : absl::StrJoin(leaf.dns_names, ", "),
                                  "; name it so, or add the name there: meshca serve --server-names ", host));
}

absl::Status CheckIdentity(const SpiffeId& id) {
  if (id.path() == kServerPath) return absl::OkStatus();
  return NotBelieved("SERVER_IDENTITY",
                     absl::StrCat("the certificate shown there is of ", id.uri(),
                                  ", and a meshca server's is of spiffe://", id.trust_domain_name(), kServerPath));
}

}  // namespace

ServerJudge::ServerJudge(std::shared_ptr<const ChainVerifier> verifier, std::string address, const Clock& clock)
    : verifier_(std::move(verifier)), address_(std::move(address)), clock_(clock) {}

ServerJudge::ServerJudge(std::string root_spki_sha256, std::string address, const Clock& clock)
    : root_spki_sha256_(std::move(root_spki_sha256)), address_(std::move(address)), clock_(clock) {}

absl::Status ServerJudge::Judge(absl::string_view chain_pem) {
  const absl::StatusOr<TrustDomain> found = Find(chain_pem, clock_.Now());
  MutexLock lock(mutex_);
  last_verdict_ = found.status();
  if (found.ok()) trust_domain_ = *found;
  return last_verdict_;
}

absl::StatusOr<TrustDomain> ServerJudge::Find(absl::string_view chain_pem, absl::Time now) const {
  const absl::StatusOr<std::vector<Certificate>> chain = Certificate::ParseAll(Pem::Copy(chain_pem));
  if (!chain.ok()) return NotBelieved("PEER_CHAIN_MALFORMED", chain.status().message());
  std::vector<absl::string_view> der;
  for (const Certificate& certificate : *chain) der.push_back(certificate.der().bytes());
  absl::StatusOr<VerifiedPeer> server;
  if (verifier_ != nullptr) {
    server = verifier_->Verify(der, now, PeerRole::kServer);
  } else {
    MESHCA_ASSIGN_OR_RETURN(const Certificate root, cli::FindRoot(*chain, root_spki_sha256_));
    const absl::StatusOr<SpiffeId> id = chain->front().spiffe_id();
    if (!id.ok()) return NotBelieved("PEER_NOT_SVID", id.status().message());
    server = ChainVerifier(id->trust_domain(), {root}).Verify(der, now, PeerRole::kServer);
  }
  if (!server.ok()) return server.status();
  MESHCA_RETURN_IF_ERROR(CheckIdentity(server->spiffe_id));
  MESHCA_RETURN_IF_ERROR(CheckName(server->leaf.fields(), address_));
  return server->spiffe_id.trust_domain();
}

rpc::ServerVerdict ServerJudge::VerdictOf(std::shared_ptr<ServerJudge> judge) {
  return [judge = std::move(judge)](absl::string_view chain_pem) { return judge->Judge(chain_pem); };
}

absl::Status ServerJudge::last_verdict() const {
  MutexLock lock(mutex_);
  return last_verdict_;
}

TrustDomain ServerJudge::trust_domain() const {
  MutexLock lock(mutex_);
  return trust_domain_;
}

}  // namespace meshca::agent
