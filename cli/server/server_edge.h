// The server's gRPC side: who may call, what is served on which listener.
#ifndef MESHCA_CLI_SERVER_SERVER_EDGE_H_
#define MESHCA_CLI_SERVER_SERVER_EDGE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authn/authenticator_chain.h"
#include "ca/authn/client_certificate.h"
#include "ca/authn/jwt_authenticator.h"
#include "ca/authn/unix_peer.h"
#include "ca/authority/authority_standing.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/issuance_policy.h"
#include "ca/rpc/health.h"
#include "ca/rpc/server.h"
#include "ca/rpc/tls_context.h"
#include "ca/service/admin_service.h"
#include "ca/service/agent_service.h"
#include "ca/service/csr_service.h"
#include "cli/config/resolve.h"
#include "cli/server/kubernetes_side.h"
#include "cli/server/server_state.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// One authenticator chain for each way in. The credentials that need no configuration come with it.
class Doors {
 public:
  // `state` outlives it, and so does `kubernetes`, who judges tokens of a cluster; null: there is none. Errors: an
  // issuer's keys or claim template.
  static absl::StatusOr<std::unique_ptr<Doors>> Open(const config::ResolvedConfig& config, ServerState& state,
                                                     KubernetesSide* kubernetes);

  // A reload of `authenticators`.
  absl::Status Reload(const config::ResolvedConfig& config);

  // How it stands with the keys of every issuer whose tokens are accepted. Thread-safe.
  std::vector<JwtIssuerReport> TokenIssuers() const;

  Authenticator& tls() { return tls_; }  // tokens, client certificates
  Authenticator& api() { return api_; }  // both sockets: tokens, operators on the admin socket, Unix peers by entries
  Authenticator& sds() { return sds_; }  // client certificates, and the peers of both sockets: what a proxy can show
  Authenticator& join_token() { return *join_token_; }  // join tokens and nothing else
  // Judges a client certificate by itself.
  const ClientCertificateAuthenticator& client_certificate() const { return *client_certificate_; }

 private:
  Doors(const TrustDomain& trust_domain, ServerState& state);
  absl::StatusOr<AuthenticatorChain::List> Tokens(std::vector<JwtIssuer> issuers);

  AuthorityStanding standing_;
  const std::shared_ptr<Authenticator> join_token_;
  const std::shared_ptr<ClientCertificateAuthenticator> client_certificate_;
  const std::shared_ptr<UnixPeerAuthenticator> unix_peer_;
  const std::shared_ptr<Authenticator> operator_;
  KubernetesSide* kubernetes_ = nullptr;  // null: there is no cluster
  AuthenticatorChain tls_{{}};
  AuthenticatorChain api_{{}};
  AuthenticatorChain sds_;
  mutable Mutex mutex_;
  std::shared_ptr<const JwtAuthenticator> jwt_ ABSL_GUARDED_BY(mutex_);  // null: no issuer is configured
};

// What the listeners serve. Everything outlives the Edge.
struct EdgeParts {
  CsrService* csr_tls;
  CsrService* csr_api;
  sds::SdsService* sds;
  AgentService* agents;
  AdminService* admin;
  rpc::HealthService* health;
  std::shared_ptr<rpc::TlsContext> tls;
};

// The listeners, bound; their real addresses.
struct BoundEdge {
  std::unique_ptr<rpc::Server> server;
  std::string grpc_address;
  std::string api_socket;
  std::string admin_socket;
};

// Makes the routers and binds: gRPC over TLS, the API socket, the admin socket. Serving begins with server->Start().
absl::StatusOr<BoundEdge> BindEdge(const config::ResolvedConfig& config, const EdgeParts& parts);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_SERVER_EDGE_H_
