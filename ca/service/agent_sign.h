// One Sign call of an agent: up to 64 requests, each answered alone and in its place.
#ifndef MESHCA_CA_SERVICE_AGENT_SIGN_H_
#define MESHCA_CA_SERVICE_AGENT_SIGN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/agents/agent_registry.h"
#include "ca/agents/entries_feed.h"
#include "ca/agents/node_entries.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/rpc/call.h"
#include "ca/service/agent_gate.h"
#include "ca/service/agent_shares.h"
#include "ca/service/agent_workers.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca {

// What the pipeline is asked for `request` of `agent`, by the entries of the moment; the store judges the same again in
// the transaction that records. InvalidArgument (CSR_MISSING, CSR_TOO_LARGE, SPIFFE_ID_INVALID), PermissionDenied
// (ENTRY_GONE: no such entry; SPIFFE_ID_NOT_ALLOWED: it is not for this node, or gives another identity).
absl::StatusOr<SubmittedRequest> JudgeAgentRequest(const AgentCaller& agent, const NodeEntries& entries,
                                                   const agent::v1::CertificateRequest& request);

// Does `request` ask for nothing but the own certificate of `agent`?
bool AsksForItselfAlone(const AgentCaller& agent, const agent::v1::SignRequest& request);

// Judges the agent, unless that was done just now, has everything signed, collects the answers and finishes the call
// with the last one. Shared by its requests' callbacks. Thread-safe.
class AgentSignCall final : public std::enable_shared_from_this<AgentSignCall> {
 public:
  static constexpr int kRequestsMax = 64;
  struct Parts {  // all outlive the call
    IssuancePipeline* pipeline = nullptr;
    AgentRegistry* registry = nullptr;
    const EntriesFeed* entries = nullptr;
    const AgentGate* gate = nullptr;
    AgentShares* shares = nullptr;
    AgentWorkers* workers = nullptr;
    const Clock* clock = nullptr;
    EntropySource* entropy = nullptr;
  };
  // How it went: so many were issued, so many refused.
  using Ended = absl::AnyInvocable<void(uint64_t issued, uint64_t refused) &&>;

  AgentSignCall(Parts parts, std::shared_ptr<rpc::Call> call, AgentCaller agent, AgentShares::SignPlace place,
                Ended ended);

  // Once. Does not block.
  void Start(agent::v1::SignRequest request);

 private:
  void JudgeAndSubmit(const agent::v1::SignRequest& request);
  // Gives everything to the pipeline at once, so that it is recorded together: renewals in one transaction, what is
  // asked for for the first time in another one.
  void Submit(const agent::v1::SignRequest& request);
  // The whole call, which has `requests` of them.
  void Fail(const absl::Status& why, int requests);
  // `own`: it was the agent's own certificate.
  void Answer(int place, bool own, absl::StatusOr<IssuedCertificate> issued);
  void Refuse(int place, const absl::Status& why);
  void Count();
  void Finish();
  void FinishByTheAgentsStanding();

  const Parts parts_;
  const std::shared_ptr<rpc::Call> call_;
  const AgentCaller agent_;
  AgentShares::SignPlace place_;  // given back by whoever answers the call
  Ended ended_;

  Mutex mutex_;
  agent::v1::SignResponse response_ ABSL_GUARDED_BY(mutex_);
  int left_ ABSL_GUARDED_BY(mutex_) = 0;
  bool agent_refused_ ABSL_GUARDED_BY(mutex_) = false;  // perhaps: a refusal that may be about the agent itself
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_SIGN_H_
