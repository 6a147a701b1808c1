#include "ca/edge/connection_judge.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/edge/svid_verifier.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {
namespace {

constexpr absl::Duration kRetryFirst = absl::Milliseconds(100);
constexpr absl::Duration kRetryMax = absl::Seconds(5);
// A jump of the wall clock past the time at which the standing worsens goes unseen at most this long.
constexpr absl::Duration kLookAtClock = absl::Seconds(5);

bool IsVerdict(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

// Connections with one certificate and one path are judged once.
struct Group {
  std::shared_ptr<const VerifiedPeer> verified;
  std::vector<uint64_t> connections;
};

std::map<std::string, Group> GroupByPath(const std::vector<std::shared_ptr<const rpc::Peer>>& peers) {
  std::map<std::string, Group> groups;
  for (const std::shared_ptr<const rpc::Peer>& peer : peers) {
    std::shared_ptr<const VerifiedPeer> verified = VerifiedPeerOf(*peer);
    const std::string key =
        verified == nullptr ? "" : absl::StrCat(verified->leaf.sha256(), absl::StrJoin(verified->authority_ids, ","));
    Group& group = groups[key];
    group.verified = std::move(verified);
    group.connections.push_back(peer->connection_id);
  }
  return groups;
}

}  // namespace

ConnectionJudge::ConnectionJudge(Parts parts) : parts_(std::move(parts)) {}
ConnectionJudge::~ConnectionJudge() { Stop(); }

void ConnectionJudge::AlsoJudge(std::function<absl::Status()> judge) { also_.push_back(std::move(judge)); }

void ConnectionJudge::Start() {
  parts_.standing->Watch([this](const PeerStanding::Change& change) { OnChange(change); });
  thread_ = std::thread([this] { Run(); });
}

void ConnectionJudge::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void ConnectionJudge::JudgeEverybody() {
  {
    MutexLock lock(mutex_);
    asked_ = true;
  }
  changed_.NotifyAll();
}

void ConnectionJudge::OnChange(const PeerStanding::Change& change) {
  {
    MutexLock lock(mutex_);
    asked_ |= change.taken_away;
    worsens_at_ = change.worsens_at;
  }
  changed_.NotifyAll();  // also where only the time is another: the thread sleeps until then
}

void ConnectionJudge::Run() {
  absl::Duration retry;  // zero: everybody is judged
  // The named time after which everybody was judged. It may have passed before this thread first saw it.
  absl::Time judged_end = absl::InfinitePast();
  mutex_.Lock();
  while (!stopping_) {
    const absl::Time now = parts_.clock->LikelyNow();
    const absl::Time end = worsens_at_;
    if (end <= now && end != judged_end) {
      asked_ = true;
      judged_end = end;
    }
    if (!asked_) {
      const bool ends_later = now < end && end != absl::InfiniteFuture();
      const absl::Duration look = ends_later ? std::min(end - now, kLookAtClock) : absl::InfiniteDuration();
      const bool retrying = retry > absl::ZeroDuration();
      if (!changed_.WaitFor(mutex_, retrying ? retry : look) && retrying) asked_ = true;
      continue;
    }
    asked_ = false;
    mutex_.Unlock();
    const absl::Status status = JudgeOnce();
    if (!status.ok() && retry == absl::ZeroDuration()) {
      LogWarning("not everybody who is connected could be judged; it is tried again until it can",
                 {{"error", status.ToString()}});
    }
    retry = status.ok() ? absl::ZeroDuration() : std::clamp(2 * retry, kRetryFirst, kRetryMax);
    mutex_.Lock();
    ++stats_.runs;
    if (!status.ok()) ++stats_.failed;
  }
  mutex_.Unlock();
}

absl::Status ConnectionJudge::JudgeOnce() {
  const absl::Time now = parts_.clock->LikelyNow();
  uint64_t judged = 0;
  uint64_t cut = 0;
  absl::Status failed;
  for (auto& [path, group] : GroupByPath(parts_.certified_peers())) {
    absl::Status verdict = absl::UnauthenticatedError("client certificate: no path to a root was verified");
    if (group.verified != nullptr) verdict = parts_.standing->Judge(*group.verified, now);
    judged += group.connections.size();
    if (verdict.ok()) continue;
    if (!IsVerdict(verdict)) {
      failed.Update(Annotate(verdict, "client certificate"));
      continue;
    }
    cut += group.connections.size();
    parts_.cut(std::move(group.connections), std::string(verdict.message()));
  }
  for (const auto& judge : also_) failed.Update(judge());
  MutexLock lock(mutex_);
  stats_.judged += judged;
  stats_.cut += cut;
  return failed;
}

ConnectionJudge::Stats ConnectionJudge::stats() const {
  MutexLock lock(mutex_);
  return stats_;
}

}  // namespace meshca
