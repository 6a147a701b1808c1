#include "ca/service/agent_revocations.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/identity/node_name.h"
#include "ca/service/agent_gate.h"

namespace meshca {

absl::Status AgentRevocations::TellBy(SerialExecutor& executor) {
  {
    MutexLock lock(mutex_);
    due_ = true;
  }
  // A duty runs before the work that is given to its thread: once this work runs, TellIfDue has seen what is due.
  struct Outcome {
    Mutex mutex;
    CondVar known;
    bool is_known ABSL_GUARDED_BY(mutex) = false;
  } outcome;
  executor.Run([&outcome] {
    // Notified under the lock: the waiter's frame ends as soon as it gets it.
    MutexLock lock(outcome.mutex);
    outcome.is_known = true;
    outcome.known.NotifyAll();
  });
  {
    MutexLock lock(outcome.mutex);
    while (!outcome.is_known) outcome.known.Wait(outcome.mutex);
  }
  MutexLock lock(mutex_);
  return absl::Status(last_.code(), last_.message());
}

void AgentRevocations::TellIfDue() {
  bool failed_before;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(due_, false)) return;
    failed_before = !last_.ok();
  }
  absl::Status told = Tell();
  if (!told.ok() && !failed_before) {
    // The store refuses what was revoked all the same: nothing of it is renewed.
    LogWarning("agents of nodes could not be told what was revoked; it is tried again every second",
               {{"error", std::string(told.message())}});
  } else if (told.ok() && failed_before) {
    LogInfo("agents of nodes are told what was revoked");
  }
  MutexLock lock(mutex_);
  due_ |= !told.ok();
  last_ = std::move(told);
}

absl::Status AgentRevocations::Tell() {
  // Before the inventory is read. Whoever was judged earlier and attaches later is judged again; whoever has attached
  // earlier is found below.
  parts_.registry->OutdateVerdicts();
  std::vector<AgentRegistry::NodeCertificate> revoked;
  absl::flat_hash_set<std::string> nodes;  // whose agent's own certificate is one
  IssuanceFilter filter;
  filter.revoked_only = true;
  MESHCA_RETURN_IF_ERROR(VisitLive(filter, [&](const IssuanceRecord& record) {
    if (record.method == AuthMethod::kAgent)
      revoked.push_back({record.node, record.serial.ToHex(), record.spiffe_id.uri()});
    if (NodeOfAgent(record.spiffe_id) == record.node) nodes.insert(record.node);
  }));
  parts_.registry->SetRevoked(revoked);
  MESHCA_RETURN_IF_ERROR(ForgetBanned());
  for (const std::string& node : nodes) MESHCA_RETURN_IF_ERROR(ForgetIfNothingIsLeft(node));
  return absl::OkStatus();
}

absl::Status AgentRevocations::VisitLive(IssuanceFilter filter,
                                         absl::FunctionRef<void(const IssuanceRecord&)> visit) const {
  filter.expires_after = parts_.clock->LikelyNow();
  return parts_.issuances->List(filter, [&visit](const IssuanceRecord& record) {
    if (!record.node.empty()) visit(record);
    return true;
  });
}

absl::Status AgentRevocations::ForgetBanned() {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<NodeRecord> nodes, parts_.nodes->ListNodes());
  for (const NodeRecord& node : nodes) {
    if (!node.banned() || !parts_.registry->Find(node.node).has_value()) continue;
    parts_.registry->Forget(node.node, NodeIsBanned(node));
  }
  return absl::OkStatus();
}

// A node that has no certificate left holds nothing up.
absl::Status AgentRevocations::ForgetIfNothingIsLeft(const std::string& node) {
  if (!parts_.registry->Find(node).has_value()) return absl::OkStatus();
  bool left = false;
  IssuanceFilter filter;
  filter.node = node;
  MESHCA_RETURN_IF_ERROR(VisitLive(
      filter, [&left](const IssuanceRecord& record) { left |= record.revoked_at == absl::InfiniteFuture(); }));
  if (left) return absl::OkStatus();
  parts_.registry->Forget(node, WithReason(absl::UnauthenticatedError(absl::StrCat(
                                               "node ", node, ": everything that it held was revoked; join again")),
                                           "CERTIFICATE_REVOKED"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> AgentRevocations::Renew(
    const std::function<bool(absl::string_view spiffe_id, absl::string_view serial)>& wanted) const {
  struct Candidate {
    AgentRegistry::NodeCertificate certificate;
    std::string spiffe_id;
    std::string place;
    bool is_own = false;  // the agent's
  };
  std::vector<Candidate> candidates;
  // A certificate takes the place of one of its own identity on its own node, whatever its agent said of it.
  const auto place = [](const IssuanceRecord& record, absl::string_view serial) {
    return absl::StrCat(serial, " ", record.node, " ", record.spiffe_id.uri());
  };
  absl::flat_hash_set<std::string> replaced;  // by `place`
  MESHCA_RETURN_IF_ERROR(VisitLive({}, [&](const IssuanceRecord& record) {
    const bool is_own = !NodeOfAgent(record.spiffe_id).empty();
    if (record.method != AuthMethod::kAgent && !is_own) return;
    if (!record.parent_serial.empty()) replaced.insert(place(record, record.parent_serial));
    if (record.revoked_at != absl::InfiniteFuture()) return;
    const std::string serial = record.serial.ToHex();
    if (!wanted(record.spiffe_id.uri(), serial)) return;
    candidates.push_back({{record.node, serial}, record.spiffe_id.uri(), place(record, serial), is_own});
  }));
  std::vector<AgentRegistry::NodeCertificate> chosen;
  for (const Candidate& candidate : candidates) {
    // The node holds what came after it. Not so an agent whose answer was lost: it shows its own of before.
    if (candidate.is_own || !replaced.contains(candidate.place)) chosen.push_back(candidate.certificate);
  }
  absl::flat_hash_set<std::string> told;
  for (const AgentRegistry::NodeCertificate& one : parts_.registry->RenewNow(chosen)) told.insert(one.serial);
  absl::flat_hash_set<std::string> own;
  std::vector<std::string> ids;
  for (const Candidate& candidate : candidates) {
    if (!told.contains(candidate.certificate.serial)) continue;
    // An agent that was told of two of its own makes one of them new.
    if (!candidate.is_own || own.insert(candidate.spiffe_id).second) ids.push_back(candidate.spiffe_id);
  }
  return ids;
}

}  // namespace meshca
