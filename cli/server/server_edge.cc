#include "cli/server/server_edge.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authn/join_token.h"
#include "ca/authn/operator_peer.h"
#include "ca/authn/unix_peer.h"
#include "ca/base/status.h"
#include "cli/config/convert.h"
#include "cli/process/socket_listeners.h"

namespace meshca::cli {
namespace {

rpc::ServerOptions RpcOptionsOf(const config::v1::Limits& limits) {
  rpc::ServerOptions options;
  options.global.connections_max = limits.connections_max();
  options.global.streams_max = limits.streams_max();
  options.global.buffered_bytes_max = size_t{limits.buffered_mib_max()} << 20;
  options.source.connections_max = limits.connections_per_source_max();
  options.source.calls = {limits.calls_per_second_per_source(), limits.calls_per_second_per_source()};
  return options;
}

}  // namespace

Doors::Doors(const TrustDomain& trust_domain, ServerState& state)
    : standing_(*state.authorities),
      join_token_(std::make_shared<JoinTokenAuthenticator>(*state.store)),
      client_certificate_(std::make_shared<ClientCertificateAuthenticator>(trust_domain, standing_)),
      unix_peer_(std::make_shared<UnixPeerAuthenticator>(trust_domain, state.entries)),
      operator_(std::make_shared<OperatorAuthenticator>(*unix_peer_)),
      sds_({client_certificate_, operator_, unix_peer_}) {}

absl::StatusOr<std::unique_ptr<Doors>> Doors::Open(const config::ResolvedConfig& config, ServerState& state,
                                                   KubernetesSide* kubernetes) {
  MESHCA_ASSIGN_OR_RETURN(TrustDomain trust_domain, TrustDomain::Parse(config.values.trust_domain()));
  std::unique_ptr<Doors> doors(new Doors(trust_domain, state));
  doors->kubernetes_ = kubernetes;
  MESHCA_RETURN_IF_ERROR(doors->Reload(config));
  return doors;
}

absl::StatusOr<AuthenticatorChain::List> Doors::Tokens(std::vector<JwtIssuer> issuers) {
  AuthenticatorChain::List list = {join_token_};
  // Before the JWTs of other issuers: it leaves those that are configured to them.
  if (kubernetes_ != nullptr) list.push_back(kubernetes_->authenticator());
  std::shared_ptr<JwtAuthenticator> jwt;
  if (!issuers.empty()) {
    MESHCA_ASSIGN_OR_RETURN(jwt, JwtAuthenticator::Create(std::move(issuers)));
    list.push_back(jwt);
  }
  std::shared_ptr<const JwtAuthenticator> shown = std::move(jwt);
  {
    MutexLock lock(mutex_);
    jwt_.swap(shown);
  }
  return list;
}

std::vector<JwtIssuerReport> Doors::TokenIssuers() const {
  std::shared_ptr<const JwtAuthenticator> jwt;
  {
    MutexLock lock(mutex_);
    jwt = jwt_;
  }
  return jwt == nullptr ? std::vector<JwtIssuerReport>() : jwt->Reports();
}

absl::Status Doors::Reload(const config::ResolvedConfig& config) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<JwtIssuer> issuers, config::ToJwtIssuers(config.values));
  std::vector<std::string> issuer_names;
  issuer_names.reserve(issuers.size());
  for (const JwtIssuer& issuer : issuers) issuer_names.push_back(issuer.issuer);
  MESHCA_ASSIGN_OR_RETURN(AuthenticatorChain::List tokens, Tokens(std::move(issuers)));
  AuthenticatorChain::List tls = tokens;
  tls.push_back(client_certificate_);
  AuthenticatorChain::List api = std::move(tokens);
  api.push_back(operator_);
  api.push_back(unix_peer_);  // last: it recognises every caller of a socket, whatever else the caller sent
  if (kubernetes_ != nullptr) kubernetes_->SetOtherIssuers(issuer_names);
  tls_.Replace(std::move(tls));
  api_.Replace(std::move(api));
  client_certificate_->SetTrustedOrigins(
      {std::move(issuer_names), kubernetes_ == nullptr ? nullptr : kubernetes_->rights()});
  return absl::OkStatus();
}

absl::StatusOr<BoundEdge> BindEdge(const config::ResolvedConfig& config, const EdgeParts& parts) {
  const config::v1::Config& values = config.values;
  BoundEdge edge;
  MESHCA_ASSIGN_OR_RETURN(edge.server, rpc::Server::Create(RpcOptionsOf(values.limits())));
  rpc::ConnectionLimits limits;
  limits.streams_max = values.limits().streams_per_connection_max();

  auto tls = std::make_shared<rpc::Router>();
  parts.csr_tls->AddTo(*tls);
  if (values.sds().over_mtls()) parts.sds->AddTo(*tls);
  parts.agents->AddTo(*tls);
  rpc::ListenerOptions grpc;
  grpc.address = values.listen();
  grpc.tls = parts.tls;
  grpc.router = WithHealthAndReflection(std::move(tls), *parts.health);
  grpc.limits = limits;
  MESHCA_ASSIGN_OR_RETURN(edge.grpc_address, edge.server->AddListener(std::move(grpc)));

  auto api = std::make_shared<rpc::Router>();
  parts.csr_api->AddTo(*api);
  parts.sds->AddTo(*api);
  parts.sds->AddWorkloadApiTo(*api);
  MESHCA_ASSIGN_OR_RETURN(
      edge.api_socket,
      BindApiSocket(*edge.server, values.api_socket(), WithHealthAndReflection(std::move(api), *parts.health), limits));

  auto admin = std::make_shared<rpc::Router>();
  parts.admin->AddTo(*admin);
  parts.csr_api->AddTo(*admin);
  parts.sds->AddTo(*admin);
  parts.sds->AddWorkloadApiTo(*admin);
  MESHCA_ASSIGN_OR_RETURN(edge.admin_socket,
                          BindAdminSocket(*edge.server, values.admin_socket(),
                                          WithHealthAndReflection(std::move(admin), *parts.health), limits));
  return edge;
}

}  // namespace meshca::cli
