#include "ca/rpc/client/judging_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <string>
#include <utility>
#include <vector>

namespace meshca::rpc {
namespace {

namespace tls = grpc::experimental;

// Answers within the call: a verdict only computes.
class VerdictVerifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit VerdictVerifier(ServerVerdict verdict) : verdict_(std::move(verdict)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)> callback,
              grpc::Status* sync_status) override {
    const grpc::string_ref chain = request->peer_cert_full_chain();
    const absl::Status verdict = verdict_(absl::string_view(chain.data(), chain.size()));
    *sync_status = verdict.ok() ? grpc::Status::OK
                                : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(verdict.message()));
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest* request) override {}

 private:
  const ServerVerdict verdict_;
};

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> JudgingCredentials(TlsServer server) {
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<VerdictVerifier>(std::move(server.verdict)));
  // The verdict takes the place of both of gRPC's looks: at the chain, and at the name a call is for.
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  if (!server.certificate_pem.empty()) {
    std::vector<tls::IdentityKeyCertPair> own(1);
    own[0].private_key = std::string(server.key_pem.reveal());
    own[0].certificate_chain = server.certificate_pem;
    options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(own));
    options.watch_identity_key_cert_pairs();
    Wipe(own[0].private_key);
  }
  return tls::TlsCredentials(options);
}

}  // namespace meshca::rpc
