// A CA as its agents see it: the service meshca.agent.v1.Agent over real TLS, on ca/rpc's own server edge, saying what
// a test wants said.
#ifndef MESHCA_TEST_FAKES_AGENT_AUTHORITY_H_
#define MESHCA_TEST_FAKES_AGENT_AUTHORITY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/base/secret.h"
#include "ca/edge/svid_verifier.h"
#include "ca/jwt/jwt_key.h"
#include "ca/rpc/server.h"
#include "ca/rpc/typed_stream_handle.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/signing_key.h"
#include "meshca/agent/v1/agent.pb.h"
#include "test/fakes/awaited_counter.h"

namespace meshca::agent {

// The keys and certificates of the CA of cluster.local, by the machine's clock.
struct AuthorityKeys {
  AuthorityKeys();

  TrustDomain domain = *TrustDomain::Parse("cluster.local");
  std::unique_ptr<SoftwareKey> root_key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::unique_ptr<SoftwareKey> issuing_key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::unique_ptr<SoftwareKey> jwt_key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::string kid;
  Certificate root;
  Certificate issuing;

  // A leaf of the issuing authority and behind it that, as DER; valid from an hour before `now`.
  std::vector<std::string> Leaf(const PublicKey& key, const std::string& id,
                                const std::vector<std::string>& dns_names = {},
                                absl::Duration lifetime = absl::Hours(24), absl::Time now = absl::Now()) const;
  // Of version `version`: the root and the JWT key.
  v1::Trust Trust(uint64_t version = 1) const;
  // A JWT-SVID for `wish` from now on.
  v1::MintJwtResponse Jwt(const v1::MintJwtRequest& wish, absl::Duration lifetime = absl::Minutes(5),
                          absl::Time now = absl::Now()) const;
  // Names the root.
  SecretBytes Token() const;
};

// What it says is said by the functions in `script`, which run on the server's threads and may be replaced while it
// does not serve.
class AgentAuthority {
 public:
  explicit AgentAuthority(std::shared_ptr<const AuthorityKeys> keys = std::make_shared<AuthorityKeys>());
  ~AgentAuthority() { Kill(); }

  struct Script {
    // Each has an answer of its own: a certificate, a token, Ok.
    std::function<absl::StatusOr<v1::JoinResponse>(const v1::JoinRequest&, const std::string& bearer)> join;
    std::function<absl::StatusOr<v1::ChallengeResponse>()> challenge;
    std::function<absl::StatusOr<v1::SignResponse>(const v1::SignRequest&)> sign;
    std::function<absl::StatusOr<v1::MintJwtResponse>(const v1::MintJwtRequest&)> mint;
    std::function<absl::Status(const v1::AttachHello&)> hello;
    // What Attach says first.
    std::vector<v1::AttachResponse> first;
  };
  Script script;

  // Serves at 127.0.0.1 and says where. Shows the certificate of a meshca server, or, where `id` is given, one of that
  // SPIFFE ID with the DNS names of a meshca server. `address`: where it served before.
  std::string Serve(const std::string& id = "", const std::string& address = "127.0.0.1:0");
  // As a server ends that is killed.
  void Kill();

  const AuthorityKeys& keys() const { return *keys_; }
  // Answers of the CA's own, for scripts that change one thing.
  v1::JoinResponse Joined(const v1::JoinRequest& request, const std::string& node = "node-1") const;
  v1::CertificateResult Signed(const v1::CertificateRequest& request) const;

  // To the stream that was opened last.
  void Tell(const v1::AttachResponse& message);
  void EndStream(const absl::Status& status);

  // What came, in order; each counter is one of them. Waited for up to a minute.
  AwaitedCounter hellos_seen, held_seen, signs_seen, mints_seen, joins_seen, closed_seen;
  std::vector<v1::AttachHello> hellos();
  std::vector<v1::Held> held();
  std::vector<v1::SignRequest> signs();
  // SPIFFE ID of the client certificate of each Attach; "" for none.
  std::vector<std::string> callers();
  // SHA-256 of the public keys that asked to join.
  std::vector<std::string> joining_keys();

 private:
  class AttachStream;
  std::shared_ptr<const rpc::Router> MakeRouter();
  std::shared_ptr<rpc::TlsContext> MakeTls(const std::string& id);

  const std::shared_ptr<const AuthorityKeys> keys_;
  const std::shared_ptr<SvidVerifier> verifier_ = std::make_shared<SvidVerifier>();
  std::unique_ptr<rpc::Server> server_;

  Mutex mutex_;
  rpc::TypedStreamHandle<AttachStream> stream_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::AttachHello> hellos_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Held> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::SignRequest> signs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> callers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> joining_keys_ ABSL_GUARDED_BY(mutex_);
};

// Messages of Attach, for `first` and Tell.
v1::AttachResponse Welcome(uint32_t version = 1, absl::Duration heartbeat = absl::Seconds(15));
v1::AttachResponse TrustMessage(const v1::Trust& trust);
v1::AttachResponse EntriesMessage(const v1::EntriesChange& change);
v1::NodeEntry Entry(const std::string& id, const std::string& spiffe_id, const std::vector<std::string>& selectors);

}  // namespace meshca::agent

#endif  // MESHCA_TEST_FAKES_AGENT_AUTHORITY_H_
