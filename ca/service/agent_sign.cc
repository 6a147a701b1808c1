#include "ca/service/agent_sign.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/agents/agent_ledger.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/edge/edge_status.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/service/agent_message.h"
#include "ca/service/csr_bytes.h"

namespace meshca {
namespace {

namespace v1 = agent::v1;

constexpr char kSignMethod[] = "/meshca.agent.v1.Agent/Sign";

// What is recorded as it was sent has to have its form: a thief's agent would fill the records with anything.
absl::Status CheckParentSerial(const std::string& serial) {
  constexpr size_t kDigitsMax = 40;  // 20 octets, RFC 5280 section 4.1.2.2
  const bool hex = std::all_of(serial.begin(), serial.end(), [](char digit) {
    return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
  });
  if (hex && serial.size() <= kDigitsMax && serial.size() % 2 == 0) return absl::OkStatus();
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("parent_serial has ", serial.size(),
                                              " bytes; send the serial number of the certificate that is replaced, in "
                                              "lowercase hex, at most ",
                                              kDigitsMax, " digits, or nothing")),
      "PARENT_SERIAL_INVALID");
}

// Perhaps about the agent, and not about one of its requests: then no other would be answered otherwise.
bool MayBeAboutTheAgent(absl::string_view reason) {
  return reason == kNodeBanned || reason == "NODE_REPLACED" || reason == "NODE_UNKNOWN" ||
         reason == "CERTIFICATE_REVOKED" || reason == "CERTIFICATE_NOT_RECORDED";
}

// The agent's own renewal: by its certificate, as anybody renews.
CallerIdentity OwnCaller(const AgentCaller& agent) {
  CallerIdentity caller = agent.identity;
  caller.node = agent.node;
  caller.instance = AgentInstance(agent.node);
  return caller;
}

CallerIdentity WorkloadCaller(const AgentCaller& agent, const RegistrationEntry& entry,
                              const std::string& parent_serial) {
  CallerIdentity caller;
  caller.method = AuthMethod::kAgent;
  caller.subject = absl::StrCat("agent of node ", agent.node);
  caller.ids = {entry.spiffe_id};
  IdentityRights rights;
  rights.id = entry.spiffe_id;
  rights.dns_names = entry.dns_names;
  rights.lifetime_max = entry.ttl;
  rights.origin = {OriginKind::kEntry, entry.id};
  caller.rights = {std::move(rights)};
  caller.node = agent.node;
  caller.instance = AgentInstance(agent.node);
  caller.parent_serial = parent_serial;
  caller.presented = agent.identity.presented;
  caller.trusted_origins = agent.identity.trusted_origins;
  return caller;
}

}  // namespace

absl::StatusOr<const RegistrationEntry*> FindEntryForAgent(const AgentCaller& agent, const NodeEntries& entries,
                                                           absl::string_view entry_id, const SpiffeId& id) {
  constexpr size_t kQuotedMax = 64;
  const RegistrationEntry* const entry = entries.Find(entry_id);
  if (entry != nullptr && entry->IsFor(agent.node) && entry->spiffe_id == id) return entry;
  // No entry gives what is meshca's own.
  const std::string next = id.IsReserved() ? "; it belongs to meshca itself, and agents ask for workloads"
                                           : absl::StrCat("; an entry that does: meshca entry create ", id.uri(),
                                                          " --node ", agent.node, " --selector ...");
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat("registration entry \"", PrintableQuoted(entry_id.substr(0, kQuotedMax)),
                                               "\": it does not give ", id.uri(), " to node ", agent.node,
                                               entry == nullptr ? " (any more)" : "", next)),
      entry == nullptr ? "ENTRY_GONE" : "SPIFFE_ID_NOT_ALLOWED");
}

absl::StatusOr<SubmittedRequest> JudgeAgentRequest(const AgentCaller& agent, const NodeEntries& entries,
                                                   const v1::CertificateRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckCsrBytes(request.csr(), "DER"));
  MESHCA_RETURN_IF_ERROR(CheckParentSerial(request.parent_serial()));
  SubmittedRequest submitted;
  MESHCA_ASSIGN_OR_RETURN(submitted.spiffe_id, SpiffeId::Parse(request.spiffe_id()));
  submitted.csr = request.csr();
  submitted.csr_key_alone = true;
  if (submitted.spiffe_id == agent.id) {
    submitted.caller = OwnCaller(agent);
    return submitted;
  }
  MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry* const entry,
                          FindEntryForAgent(agent, entries, request.entry_id(), submitted.spiffe_id));
  for (const std::string& name : entry->dns_names) {
    // `*` stands for any name that is asked for, and is none itself.
    if (name != "*") submitted.dns_names.push_back(name);
  }
  submitted.caller = WorkloadCaller(agent, *entry, request.parent_serial());
  return submitted;
}

bool AsksForItselfAlone(const AgentCaller& agent, const v1::SignRequest& request) {
  return request.requests_size() == 1 && request.requests(0).spiffe_id() == agent.id.uri();
}

AgentSignCall::AgentSignCall(Parts parts, std::shared_ptr<rpc::Call> call, AgentCaller agent,
                             AgentShares::SignPlace place, Ended ended)
    : parts_(parts),
      call_(std::move(call)),
      agent_(std::move(agent)),
      place_(std::move(place)),
      ended_(std::move(ended)) {}

void AgentSignCall::Start(v1::SignRequest request) {
  if (parts_.shares->MayBeServed(agent_, parts_.registry->verdicts(), parts_.clock->SinceBoot())) {
    return Submit(request);
  }
  // The store judges the agent in the transaction that records. By then 64 signatures were verified and 64 made, which
  // an agent that was banned, on a connection that it has just opened, must not be able to cause again and again.
  const int requests = request.requests_size();
  const absl::Status room = parts_.workers->Submit(
      agent_.node, [self = shared_from_this(), request = std::move(request)] { self->JudgeAndSubmit(request); });
  if (!room.ok()) Fail(room, requests);
}

void AgentSignCall::JudgeAndSubmit(const v1::SignRequest& request) {
  if (call_->cancelled()) return Fail(absl::CancelledError("the agent went away"), request.requests_size());
  const uint64_t verdicts = parts_.registry->verdicts();
  if (const absl::Status judged = parts_.gate->Judge(agent_); !judged.ok()) {
    return Fail(judged, request.requests_size());
  }
  parts_.shares->RememberServed(agent_, verdicts, parts_.clock->SinceBoot());
  Submit(request);
}

void AgentSignCall::Fail(const absl::Status& why, int requests) {
  std::move(ended_)(0, static_cast<uint64_t>(requests));
  place_.GiveBack();
  call_->Finish(CsrEdgeStatus(why, kSignMethod, *parts_.entropy));
}

void AgentSignCall::Submit(const v1::SignRequest& request) {
  const std::shared_ptr<const NodeEntries> entries = parts_.entries->Current();
  const int count = request.requests_size();
  {
    MutexLock lock(mutex_);
    for (int place = 0; place < count; ++place) response_.add_results();
    // One more, so that the call does not end while requests are still being submitted.
    left_ = count + 1;
  }
  const absl::Duration now = parts_.clock->SinceBoot();
  std::vector<IssuancePipeline::Submission> submissions;
  submissions.reserve(static_cast<size_t>(count));
  for (int place = 0; place < count; ++place) {
    absl::StatusOr<SubmittedRequest> submitted = JudgeAgentRequest(agent_, *entries, request.requests(place));
    if (!submitted.ok()) {
      Refuse(place, submitted.status());
      continue;
    }
    submitted->with_first_ones = !submitted->caller.IsRenewal() || !parts_.shares->TakeRenewal(agent_.node, now);
    const bool own = submitted->spiffe_id == agent_.id;
    submissions.push_back(
        {*std::move(submitted), [self = shared_from_this(), place, own](absl::StatusOr<IssuedCertificate> issued) {
           self->Answer(place, own, std::move(issued));
         }});
  }
  parts_.pipeline->SubmitTogether(std::move(submissions));
  Count();
}

void AgentSignCall::Answer(int place, bool own, absl::StatusOr<IssuedCertificate> issued) {
  if (!issued.ok()) return Refuse(place, issued.status());
  // Before the agent can have it, so that no report of its can be older than what it reports of.
  parts_.registry->Issued(agent_.node, {issued->record->authority_id, issued->record->not_after, own});
  {
    MutexLock lock(mutex_);
    v1::CertificateResult& result = *response_.mutable_results(place);
    AddChain(issued->chain, result.mutable_chain());
    result.set_authority_id(issued->record->authority_id);
  }
  Count();
}

void AgentSignCall::Refuse(int place, const absl::Status& why) {
  const absl::Status told = CsrEdgeStatus(why, kSignMethod, *parts_.entropy);
  {
    MutexLock lock(mutex_);
    v1::CertificateResult& result = *response_.mutable_results(place);
    result.set_code(static_cast<int>(told.code()));
    result.set_message(std::string(told.message()));
    result.set_reason(ReasonOf(told));
    agent_refused_ |= MayBeAboutTheAgent(ReasonOf(told));
  }
  Count();
}

void AgentSignCall::Count() {
  {
    MutexLock lock(mutex_);
    if (--left_ > 0) return;
  }
  Finish();
}

// The last one's thread; nobody else comes here.
void AgentSignCall::Finish() {
  rpc::Payload response;
  {
    MutexLock lock(mutex_);
    uint64_t issued = 0;
    for (const v1::CertificateResult& result : response_.results()) issued += result.code() == 0 ? 1 : 0;
    std::move(ended_)(issued, static_cast<uint64_t>(response_.results_size()) - issued);
    // What was issued before the agent was refused must not get lost on the way: then each answer stands for itself.
    if (issued > 0 || !agent_refused_) response = rpc::Frame(response_);
  }
  // Before the answer leaves: the agent's next call may come at once.
  place_.GiveBack();
  if (response != nullptr) return call_->Finish(std::move(response));
  // The inventory is asked, on a thread that may wait for it: this one may be the store's own.
  const absl::Status room =
      parts_.workers->Submit(agent_.node, [self = shared_from_this()] { self->FinishByTheAgentsStanding(); });
  if (!room.ok()) call_->Finish(CsrEdgeStatus(room, kSignMethod, *parts_.entropy));
}

void AgentSignCall::FinishByTheAgentsStanding() {
  if (const absl::Status standing = parts_.gate->Judge(agent_); !standing.ok()) {
    return call_->Finish(CsrEdgeStatus(standing, kSignMethod, *parts_.entropy));
  }
  MutexLock lock(mutex_);
  call_->Finish(rpc::Frame(response_));
}

}  // namespace meshca
