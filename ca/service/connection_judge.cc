#include "ca/service/connection_judge.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {
namespace {

constexpr absl::Duration kRetryFirst = absl::Milliseconds(100);
constexpr absl::Duration kRetryMax = absl::Seconds(5);
// A jump of the wall clock past the end of the time without records goes unseen at most this long.
constexpr absl::Duration kLookAtClock = absl::Seconds(5);

bool IsVerdict(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

const SigningAuthority* Find(const AuthoritySnapshot& snapshot, const std::string& id) {
  const auto found = std::find_if(snapshot.authorities.begin(), snapshot.authorities.end(),
                                  [&id](const SigningAuthority& authority) { return authority.id == id; });
  return found == snapshot.authorities.end() ? nullptr : &*found;
}

bool RootIsGone(const AuthoritySnapshot& before, const AuthoritySnapshot& after) {
  if (before.bundle == nullptr || before.bundle == after.bundle) return false;
  if (after.bundle == nullptr) return true;
  const std::vector<Certificate>& roots = after.bundle->roots;
  return std::any_of(before.bundle->roots.begin(), before.bundle->roots.end(), [&roots](const Certificate& root) {
    return std::find(roots.begin(), roots.end(), root) == roots.end();
  });
}

// Connections with one certificate and one path are judged once.
struct Group {
  std::shared_ptr<const VerifiedPeer> verified;
  std::vector<uint64_t> connections;
};

std::map<std::string, Group> GroupByPath(const std::vector<std::shared_ptr<const rpc::Peer>>& peers) {
  std::map<std::string, Group> groups;
  for (const std::shared_ptr<const rpc::Peer>& peer : peers) {
    auto verified = std::static_pointer_cast<const VerifiedPeer>(peer->identity);
    const std::string key =
        verified == nullptr ? "" : absl::StrCat(verified->leaf.sha256(), absl::StrJoin(verified->authority_ids, ","));
    Group& group = groups[key];
    group.verified = std::move(verified);
    group.connections.push_back(peer->connection_id);
  }
  return groups;
}

}  // namespace

bool TakesTrustAway(const AuthoritySnapshot& before, const AuthoritySnapshot& after) {
  if (RootIsGone(before, after)) return true;
  // A change of this state is rare: whatever it is, nobody stays who only fitted the one before.
  if (before.unrecorded.has_value() && before.unrecorded != after.unrecorded) return true;
  return std::any_of(after.authorities.begin(), after.authorities.end(), [&before](const SigningAuthority& authority) {
    const SigningAuthority* const known = Find(before, authority.id);
    const bool was_tainted = known != nullptr && known->tainted;
    const bool was_retired = known != nullptr && known->state == AuthorityState::kRetired;
    return (authority.tainted && !was_tainted) || (authority.state == AuthorityState::kRetired && !was_retired);
  });
}

ConnectionJudge::ConnectionJudge(Parts parts) : parts_(std::move(parts)) {}
ConnectionJudge::~ConnectionJudge() { Stop(); }

void ConnectionJudge::AlsoJudge(std::function<absl::Status()> judge) { also_.push_back(std::move(judge)); }

void ConnectionJudge::Start() {
  parts_.authorities->AddListener(
      [this](const std::shared_ptr<const AuthoritySnapshot>& snapshot) { OnAuthorities(snapshot); });
  OnAuthorities(parts_.authorities->Current());
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

void ConnectionJudge::OnAuthorities(const std::shared_ptr<const AuthoritySnapshot>& snapshot) {
  if (snapshot == nullptr) return;
  {
    MutexLock lock(mutex_);
    // Told twice of one change at the start, in either order.
    if (seen_ != nullptr && snapshot->revision < seen_->revision) return;
    if (seen_ != nullptr && TakesTrustAway(*seen_, *snapshot)) asked_ = true;
    seen_ = snapshot;
  }
  changed_.NotifyAll();  // also where the time without records has another end
}

absl::Time ConnectionJudge::EndOfGrace() const {
  return seen_ == nullptr || !seen_->unrecorded.has_value() ? absl::InfiniteFuture() : seen_->unrecorded->until;
}

void ConnectionJudge::Run() {
  absl::Duration retry;  // zero: everybody is judged
  // The end of the time without records after which everybody was judged. It may have passed before this thread first
  // saw it.
  absl::Time judged_end = absl::InfinitePast();
  mutex_.Lock();
  while (!stopping_) {
    const absl::Time now = parts_.clock->LikelyNow();
    const absl::Time end = EndOfGrace();
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
    if (group.verified != nullptr) {
      const absl::StatusOr<CallerIdentity> caller = parts_.authenticator->Judge(*group.verified, now);
      verdict = caller.status();
      if (caller.ok()) {
        verdict = parts_.issuances->JudgePresented(*caller->presented, caller->trusted_issuers).status();
      }
    }
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
