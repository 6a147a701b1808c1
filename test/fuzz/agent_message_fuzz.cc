// Any bytes as what a node's agent and its CA say to each other: both ends take them within their bounds, or refuse
// them. Links: ca_service cli_agent_parts proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/authn/entry_cache.h"
#include "ca/base/check.h"
#include "ca/base/printable.h"
#include "ca/service/agent_message.h"
#include "ca/spiffe/trust_domain.h"
#include "cli/agent/told_entries.h"
#include "cli/agent/trust_message.h"
#include "meshca/agent/v1/agent.pb.h"

namespace {

namespace v1 = meshca::agent::v1;

bool IsShown(const std::string& text) { return meshca::Printable(text) == text; }

// What the CA makes of an agent's report.
void CheckReport(const v1::Held& held) {
  const auto report = meshca::ReadHeld(held);
  if (!report.ok()) {
    MESHCA_CHECK(report.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  MESHCA_CHECK(report->behind_first.size() <= meshca::HeldReport::kBehindMax);
  MESHCA_CHECK(report->under.size() <= meshca::HeldReport::kUnderMax);
  for (const meshca::BehindConsumer& consumer : report->behind_first) {
    MESHCA_CHECK(IsShown(consumer.spiffe_id) && IsShown(consumer.program));
  }
}

void CheckAtTheCa(absl::string_view bytes) {
  v1::AttachRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  if (request.has_held()) CheckReport(request.held());
  if (!request.has_hello()) return;
  const auto version = meshca::AgreeOnProtocol(request.hello().protocol_version());
  MESHCA_CHECK(!version.ok() || *version <= meshca::kAgentProtocolVersion);
  MESHCA_CHECK(IsShown(meshca::VersionText(request.hello().agent_version())));
}

void CheckTrust(const v1::Trust& message) {
  const auto trust = meshca::agent::ReadTrust(message);
  if (!trust.ok()) {
    MESHCA_CHECK(trust.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  MESHCA_CHECK((*trust)->version != 0 && !(*trust)->domains.empty());
  for (const meshca::sds::DomainTrust& domain : (*trust)->domains) {
    MESHCA_CHECK(!meshca::agent::RootsOf(domain).empty());
  }
}

void CheckEntries(const v1::EntriesChange& change) {
  static const meshca::TrustDomain& domain = *new meshca::TrustDomain(*meshca::TrustDomain::Parse("td.test"));
  meshca::EntryCache cache;
  meshca::agent::ToldEntries entries(cache);
  const absl::Status applied = entries.Apply(change, domain);
  MESHCA_CHECK(applied.ok() || absl::IsInvalidArgument(applied) || absl::IsResourceExhausted(applied));
  for (const meshca::RegistrationEntry& entry : cache.Current()->entries()) {
    MESHCA_CHECK(entry.spiffe_id.MemberOf(domain) && !entry.spiffe_id.IsReserved());
  }
}

void CheckAtTheAgent(absl::string_view bytes) {
  v1::AttachResponse response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  if (response.has_trust()) CheckTrust(response.trust());
  if (response.has_entries()) CheckEntries(response.entries());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckAtTheCa(bytes);
  CheckAtTheAgent(bytes);
  return 0;
}
