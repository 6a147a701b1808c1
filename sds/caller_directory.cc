#include "sds/caller_directory.h"

#include <optional>
#include <utility>

#include "ca/base/status.h"

namespace meshca::sds {
namespace {

// Renewals of a client certificate that are followed back to find who its holder was before.
constexpr int kLineageMax = 64;
constexpr size_t kLineagesRemembered = 65'536;

}  // namespace

void CallerDirectory::JudgeAgain(const rpc::Peer& peer, Authenticator::Done done) {
  absl::StatusOr<Credentials> credentials = PeerCredentials(peer);
  if (!credentials.ok()) return std::move(done)(credentials.status());
  parts_.authenticator->Authenticate(*std::move(credentials), parts_.clock->Now(), std::move(done));
}

void CallerDirectory::Authenticate(std::shared_ptr<const rpc::Peer> peer, std::string node, Done done) {
  const rpc::Peer& at_the_other_end = *peer;
  JudgeAgain(at_the_other_end, [this, peer = std::move(peer), node = std::move(node),
                                done = std::move(done)](absl::StatusOr<CallerIdentity> identity) mutable {
    if (!identity.ok()) return std::move(done)(identity.status());
    auto caller = std::make_shared<SdsCaller>();
    caller->identity = *std::move(identity);
    caller->peer = std::move(peer);
    if (!caller->identity.presented.has_value() && caller->peer->transport == rpc::Transport::kUnix) {
      return std::move(done)(Share(std::move(caller)));
    }
    parts_.executor->Run([this, caller = std::move(caller), node = std::move(node), done = std::move(done)]() mutable {
      const absl::Status judged = FollowCertificate(*caller, node);
      if (!judged.ok()) return std::move(done)(judged);
      std::move(done)(Share(std::move(caller)));
    });
  });
}

std::shared_ptr<const SdsCaller> CallerDirectory::Share(std::shared_ptr<const SdsCaller> caller) {
  MutexLock lock(mutex_);
  std::weak_ptr<const SdsCaller>& recent = recent_callers_[caller->peer->connection_id % recent_callers_.size()];
  std::shared_ptr<const SdsCaller> known = recent.lock();
  if (known != nullptr && known->peer == caller->peer && known->lineage == caller->lineage &&
      known->line == caller->line && known->identity == caller->identity) {
    return known;
  }
  recent = caller;
  return caller;
}

// Before anything is served, the trust bundle included: whoever stole an authority's key would else learn who is here,
// count as a subscriber, and hold a rotation up.
absl::Status CallerDirectory::FollowCertificate(SdsCaller& caller, absl::string_view node) {
  if (!caller.identity.presented.has_value()) {
    return absl::InternalError("SDS: an authenticator named a TLS peer and not its certificate");
  }
  MESHCA_ASSIGN_OR_RETURN(CertificateAncestry own,
                          parts_.certificates->Judge(*caller.identity.presented, caller.identity.trusted_origins));
  const std::string& serial = caller.identity.parent_serial;
  caller.lineage = FindLineage(caller, serial, own.parent_serial, node);
  caller.line = own.line_serial.empty() ? serial : own.line_serial;
  return absl::OkStatus();
}

// The instance of the holder is named after the earliest of its certificates that a known subscriber had, so that it
// stays one instance through its renewals.
std::string CallerDirectory::FindLineage(const SdsCaller& caller, const std::string& serial, std::string parent,
                                         absl::string_view node) {
  const std::string id = caller.DefaultId() == nullptr ? "" : caller.DefaultId()->uri();
  std::string candidate = serial;
  for (int step = 0; step < kLineageMax && !candidate.empty(); ++step) {
    std::string found;
    {
      MutexLock lock(mutex_);
      if (const auto known = lineages_.find(candidate); known != lineages_.end()) found = known->second;
    }
    for (const Taking taking : {Taking::kStream, Taking::kFetch}) {
      if (found.empty() && parts_.registry->Knows(InstanceKey(*caller.peer, taking, candidate, id, node))) {
        found = candidate;
      }
    }
    if (!found.empty()) {
      if (step > 0) {
        MutexLock lock(mutex_);
        if (lineages_.size() >= kLineagesRemembered) lineages_.clear();
        lineages_[serial] = found;
      }
      return found;
    }
    candidate = std::move(parent);
    if (candidate.empty()) break;
    absl::StatusOr<std::string> before = parts_.certificates->ParentOf(candidate);
    if (!before.ok()) break;
    parent = *std::move(before);
  }
  return serial;
}

SubscriberRecord CallerDirectory::InstanceOf(const SdsCaller& caller, Taking taking, absl::string_view node,
                                             const SpiffeId& asked) const {
  const std::string own = caller.DefaultId() == nullptr ? "" : caller.DefaultId()->uri();
  SubscriberRecord record;
  record.instance = InstanceKey(*caller.peer, taking, caller.lineage, own, node);
  record.spiffe_id = own.empty() ? asked.uri() : own;
  record.node = std::string(node);
  record.kind = std::string(SubscriberKind(*caller.peer, taking));
  record.peer = PeerText(caller);
  if (const std::optional<rpc::UnixCredentials>& process = caller.peer->unix_credentials; process.has_value()) {
    record.process = {process->pid, process->pid_start_ticks};
  }
  return record;
}

}  // namespace meshca::sds
