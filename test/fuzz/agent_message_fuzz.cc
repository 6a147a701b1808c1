// Any bytes as what a CA tells its agents: taken within the agent's bounds, or an error, and what was served stays.
// Links: cli_agent_parts proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "ca/authn/entry_cache.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "cli/agent/signed_answer.h"
#include "cli/agent/told_entries.h"
#include "cli/agent/trust_message.h"
#include "meshca/agent/v1/agent.pb.h"

namespace {

using namespace meshca;         // NOLINT: an entry point of its own
using namespace meshca::agent;  // NOLINT

void CheckTrust(const v1::Trust& message) {
  const absl::StatusOr<std::shared_ptr<const sds::Trust>> trust = ReadTrust(message);
  if (!trust.ok()) {
    MESHCA_CHECK(trust.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  MESHCA_CHECK((*trust)->version > 0 && !(*trust)->domains.empty());
  for (const sds::DomainTrust& domain : (*trust)->domains) {
    MESHCA_CHECK(!domain.trust_domain.empty() && !domain.roots.empty());
    MESHCA_CHECK(RootsOf(domain).size() == domain.roots.size());
  }
}

void CheckEntries(const v1::EntriesChange& change, const TrustDomain& domain) {
  EntryCache cache;
  ToldEntries entries(cache);
  v1::EntriesChange first;
  first.set_revision(1);
  first.set_whole(true);
  first.set_complete(true);
  MESHCA_CHECK(entries.Apply(first, domain).ok());
  const absl::Status applied = entries.Apply(change, domain);
  if (!applied.ok()) MESHCA_CHECK(cache.Current()->entries().empty());
  for (const RegistrationEntry& entry : cache.Current()->entries()) {
    MESHCA_CHECK(entry.spiffe_id.MemberOf(domain) && !entry.spiffe_id.IsReserved() && !entry.selectors.empty());
  }
}

// Nothing that is not signed by the one root is ever a certificate.
void CheckAnswer(const v1::SignResponse& response, const TrustDomain& domain) {
  static const auto* const key = SoftwareKey::Generate(KeyType::kEcP256)->release();
  static const auto* const id = new SpiffeId(*SpiffeId::Parse("spiffe://cluster.local/web"));
  SignedAnswerReader reader;
  for (const v1::CertificateResult& result : response.results()) {
    const absl::Status refusal = RefusalOf(result);
    MESHCA_CHECK(refusal.ok() == (result.code() == 0));
    MESHCA_CHECK(!reader.Read(result.chain(), key->public_key(), *id, ChainVerifier(domain, {}), absl::Now()).ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const domain = [] {
    google::protobuf::SetLogHandler(nullptr);
    SetLogLevel(LogLevel::kError);
    return new TrustDomain(*TrustDomain::Parse("cluster.local"));
  }();
  v1::AttachResponse message;
  if (message.ParseFromArray(data, static_cast<int>(size))) {
    if (message.has_trust()) CheckTrust(message.trust());
    if (message.has_entries()) CheckEntries(message.entries(), *domain);
  }
  v1::SignResponse response;
  if (response.ParseFromArray(data, static_cast<int>(size))) CheckAnswer(response, *domain);
  return 0;
}
