#include "ca/service/csr_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/edge/credentials.h"
#include "ca/edge/edge_status.h"
#include "ca/identity/node_name.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/service/csr_bytes.h"
#include "istio/v1/auth/ca.pb.h"

namespace meshca {
namespace {

using ::istio::v1::auth::IstioCertificateRequest;
using ::istio::v1::auth::IstioCertificateResponse;

// The request as a whole, CSR included: a CSR of its own largest size and room for everything else.
constexpr size_t kCsrRequestBytesMax = 128 * 1024;

constexpr std::memory_order kRelaxed = std::memory_order_relaxed;

// A string in `metadata`; "" when it is not there. InvalidArgument when it is something else.
absl::StatusOr<std::string> MetadataText(const IstioCertificateRequest& request, const std::string& name) {
  const auto& fields = request.metadata().fields();
  const auto found = fields.find(name);
  if (found == fields.end()) return std::string();
  if (found->second.kind_case() != google::protobuf::Value::kStringValue) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("metadata ", name, ": must be a string")),
                      "METADATA_INVALID");
  }
  return found->second.string_value();
}

// The Agent service joins agents and signs for them; whoever comes here with what is an agent's is at the wrong door.
absl::StatusOr<CallerIdentity> RefuseAgent(CallerIdentity caller) {
  const auto agent = std::find_if(caller.ids.begin(), caller.ids.end(), IsAgentId);
  if (agent == caller.ids.end()) return caller;
  const absl::string_view node = NodeOfAgent(*agent);
  return WithReason(
      absl::PermissionDeniedError(
          caller.method == AuthMethod::kJoinToken
              ? absl::StrCat("join token ", caller.token_id, ": it lets the agent of node ", node,
                             " join, and gives no certificate here; start the agent with it: meshca agent --server "
                             "HOST:PORT --token-file FILE")
              : absl::StrCat("caller (", caller.subject, "): the agent of node ", node,
                             " renews its certificate, and has those of its workloads signed, by the agent service")),
      "AGENT_SERVICE");
}

bool IsLifetimeOrKey(absl::string_view reason) { return reason == "LIFETIME" || reason == "KEY_TYPE"; }

}  // namespace

CsrStats& CsrStats::operator+=(const CsrStats& other) {
  requests += other.requests;
  issued += other.issued;
  authentication_failures += other.authentication_failures;
  csr_parsing_errors += other.csr_parsing_errors;
  id_extraction_errors += other.id_extraction_errors;
  csr_sign_errors += other.csr_sign_errors;
  turned_away += other.turned_away;
  return *this;
}

// What the message asks for, read and bounded.
struct CsrService::Wanted {
  std::string csr;
  absl::Duration lifetime;
  SpiffeId spiffe_id;

  static absl::StatusOr<Wanted> Read(absl::string_view bytes);
};

absl::StatusOr<CsrService::Wanted> CsrService::Wanted::Read(absl::string_view bytes) {
  IstioCertificateRequest request;
  MESHCA_RETURN_IF_ERROR(WithReason(rpc::ParseMessage(bytes, request), "REQUEST_MALFORMED"));
  MESHCA_RETURN_IF_ERROR(CheckCsrBytes(request.csr(), "PEM"));
  if (request.validity_duration() < 0) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("validity_duration is ", request.validity_duration(),
                                                              " s; it must not be negative (0: the default)")),
                      "LIFETIME");
  }
  Wanted wanted;
  wanted.lifetime = absl::Seconds(request.validity_duration());
  if (request.has_metadata()) {
    // Another signer's certificate is not ours to replace: the client would trust the wrong chain.
    MESHCA_ASSIGN_OR_RETURN(const std::string signer, MetadataText(request, "CertSigner"));
    if (!signer.empty()) {
      return WithReason(absl::InvalidArgumentError("metadata CertSigner: this CA has one signer; leave it out"),
                        "CERT_SIGNER_UNKNOWN");
    }
    MESHCA_ASSIGN_OR_RETURN(const std::string impersonated, MetadataText(request, "ImpersonatedIdentity"));
    if (!impersonated.empty()) {
      absl::StatusOr<SpiffeId> id = SpiffeId::Parse(impersonated);
      if (!id.ok()) return Annotate(id.status(), "metadata ImpersonatedIdentity");
      wanted.spiffe_id = *std::move(id);
    }
  }
  wanted.csr = std::move(*request.mutable_csr());
  return wanted;
}

CsrService::CsrService(Authenticator& authenticator, IssuancePipeline& pipeline, const Clock& clock,
                       EntropySource& entropy)
    : authenticator_(authenticator), pipeline_(pipeline), clock_(clock), entropy_(entropy) {}

void CsrService::AddTo(rpc::Router& router) {
  router.AddUnary(kMethod, [this](std::shared_ptr<rpc::Call> call) { CreateCertificate(std::move(call)); },
                  {.request_bytes_max = kCsrRequestBytesMax});
}

void CsrService::CreateCertificate(std::shared_ptr<rpc::Call> call) {
  requests_.fetch_add(1, kRelaxed);
  absl::StatusOr<Credentials> credentials = CredentialsOf(*call->peer(), call->client_metadata());
  if (!credentials.ok()) return Refuse(*call, credentials.status());
  // A credential whose turn comes when nobody waits for the answer any more is not verified.
  credentials->abandoned = [call] { return call->cancelled(); };
  // Who asks comes before what is asked: a stranger learns nothing but that it is one.
  authenticator_.Authenticate(*std::move(credentials), clock_.Now(),
                              [this, call](absl::StatusOr<CallerIdentity> caller) {
                                if (caller.ok()) caller = RefuseAgent(*std::move(caller));
                                if (!caller.ok()) return Refuse(*call, caller.status());
                                if (call->cancelled())
                                  return call->Finish(absl::CancelledError("the caller went away"));
                                if (absl::Status room = pipeline_.CheckRoom(*caller); !room.ok())
                                  return Refuse(*call, room);
                                absl::StatusOr<Wanted> wanted = Wanted::Read(call->request());
                                if (!wanted.ok()) return Refuse(*call, wanted.status());
                                Submit(call, *std::move(wanted), *std::move(caller));
                              });
}

void CsrService::Submit(std::shared_ptr<rpc::Call> call, Wanted wanted, CallerIdentity caller) {
  SubmittedRequest request;
  request.caller = std::move(caller);
  request.csr = std::move(wanted.csr);
  request.spiffe_id = std::move(wanted.spiffe_id);
  request.lifetime = wanted.lifetime;
  request.claimed_cluster = claimed_clusters_.ToRecord(call->metadata("clusterid").value_or(""));
  pipeline_.Submit(std::move(request), [this, call = std::move(call)](absl::StatusOr<IssuedCertificate> issued) {
    Finish(*call, std::move(issued));
  });
}

void CsrService::Finish(rpc::Call& call, absl::StatusOr<IssuedCertificate> issued) {
  if (!issued.ok()) return Refuse(call, issued.status());
  issued_.fetch_add(1, kRelaxed);
  const std::shared_ptr<const AnswerTail> tail = TailFor(issued->authorities);
  IstioCertificateResponse leaf;
  leaf.add_cert_chain(std::move(issued->chain.LeafPem()).Release());
  call.Finish(rpc::Frame(leaf, tail->bytes));
}

std::shared_ptr<const CsrService::AnswerTail> CsrService::TailFor(
    const std::shared_ptr<const AuthoritySnapshot>& authorities) {
  MutexLock lock(mutex_);
  if (tail_ == nullptr || tail_->authorities != authorities) {
    IstioCertificateResponse response;
    for (const std::string& certificate : authorities->chain_tail_pem) response.add_cert_chain(certificate);
    response.add_cert_chain(authorities->roots_pem);
    tail_ = std::make_shared<const AnswerTail>(AnswerTail{authorities, response.SerializeAsString()});
  }
  return tail_;
}

void CsrService::Refuse(rpc::Call& call, const absl::Status& error) {
  Count(error);
  call.Finish(CsrEdgeStatus(error, kMethod, entropy_));
}

void CsrService::Count(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kUnauthenticated: authentication_failures_.fetch_add(1, kRelaxed); return;
    case absl::StatusCode::kPermissionDenied: id_extraction_errors_.fetch_add(1, kRelaxed); return;
    case absl::StatusCode::kResourceExhausted: turned_away_.fetch_add(1, kRelaxed); return;
    case absl::StatusCode::kInvalidArgument: {
      const std::string reason = ReasonOf(error);
      if (absl::StartsWith(reason, "SPIFFE_ID")) {
        id_extraction_errors_.fetch_add(1, kRelaxed);
      } else if (IsLifetimeOrKey(reason)) {
        csr_sign_errors_.fetch_add(1, kRelaxed);
      } else {
        csr_parsing_errors_.fetch_add(1, kRelaxed);
      }
      return;
    }
    default: csr_sign_errors_.fetch_add(1, kRelaxed); return;
  }
}

CsrStats CsrService::Stats() const {
  CsrStats stats;
  stats.requests = requests_.load(kRelaxed);
  stats.issued = issued_.load(kRelaxed);
  stats.authentication_failures = authentication_failures_.load(kRelaxed);
  stats.csr_parsing_errors = csr_parsing_errors_.load(kRelaxed);
  stats.id_extraction_errors = id_extraction_errors_.load(kRelaxed);
  stats.csr_sign_errors = csr_sign_errors_.load(kRelaxed);
  stats.turned_away = turned_away_.load(kRelaxed);
  return stats;
}

}  // namespace meshca
