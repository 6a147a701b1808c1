#include "ca/request_signing/pending_requests.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/kubernetes/api_refusal.h"
#include "ca/kubernetes/outage.h"

namespace meshca {
namespace {

// Attempts after which a request is spoken of: by then it is no watch that lags by a moment.
constexpr int kSpokenOf = 5;
constexpr int kDoublingsMax = 16;
constexpr size_t kAwaitingMax = 1024;

}  // namespace

void PendingRequests::BeginList() {
  MutexLock lock(mutex_);
  ++list_;
  overflowed_ = false;
  // The list tells of each again.
  awaiting_.clear();
}

void PendingRequests::EndList() {
  MutexLock lock(mutex_);
  std::vector<std::string> gone;
  for (const auto& [uid, entry] : entries_) {
    if (entry.list != list_) gone.push_back(uid);
  }
  for (const std::string& uid : gone) ForgetLocked(uid);
}

void PendingRequests::Keep(ApiRequestPtr request, bool shows_less) {
  MutexLock lock(mutex_);
  const std::string uid = request->uid;
  if (const auto found = entries_.find(uid); found != entries_.end()) {
    Entry& entry = found->second;
    entry.list = list_;
    if (shows_less && !entry.known.shown_by.empty()) return;
    if (entry.stage == Stage::kDue) {
      entry.known.request = std::move(request);
    } else if (entry.stage == Stage::kUnderWay) {
      entry.newer = std::move(request);
      entry.newer_shows_less = shows_less;
    }
    return;
  }
  if (entries_.size() >= options_.pending_max && !MakeRoomFor(request->asker)) return;
  Entry& entry = entries_[uid];
  entry.list = list_;
  entry.asker = request->asker;
  entry.known.request = std::move(request);
  PutDue(uid, entry, clock_.SinceBoot());
}

// What gives way is listed again when there is room. False: nobody has more than the asker would have.
bool PendingRequests::MakeRoomFor(const RequestAsker& asker) {
  overflowed_ = true;
  const std::optional<std::string> given_up = due_.GivesWayTo(asker);
  if (!given_up.has_value()) return false;
  ForgetLocked(*given_up);
  return true;
}

void PendingRequests::PutDue(const std::string& uid, Entry& entry, absl::Duration due) {
  entry.stage = Stage::kDue;
  entry.due = due;
  // One that gives way loses the certificate that was recorded for it.
  due_.Put(entry.asker, uid, due, entry.known.issued != nullptr);
}

void PendingRequests::Forget(const std::string& uid) {
  MutexLock lock(mutex_);
  ForgetLocked(uid);
}

void PendingRequests::ForgetLocked(const std::string& uid) {
  awaiting_.erase(uid);
  const auto found = entries_.find(uid);
  if (found == entries_.end()) return;
  due_.Remove(found->second.asker, uid, found->second.due);
  entries_.erase(found);
}

std::vector<std::string> PendingRequests::TakeDue() {
  MutexLock lock(mutex_);
  const absl::Duration now = clock_.SinceBoot();
  std::vector<std::string> taken;
  while (under_way_ < options_.at_once) {
    std::optional<std::string> uid = due_.Take(now);
    if (!uid.has_value()) break;
    const auto found = entries_.find(*uid);
    if (found == entries_.end() || found->second.stage != Stage::kDue) continue;
    Entry& entry = found->second;
    entry.stage = Stage::kUnderWay;
    entry.awaits_return = false;
    entry.returns = returns_;
    entry.soon = false;
    entry.judged_again = judged_again_;
    ++under_way_;
    taken.push_back(*std::move(uid));
  }
  return taken;
}

absl::Duration PendingRequests::UntilDue() const {
  MutexLock lock(mutex_);
  if (under_way_ >= options_.at_once) return absl::InfiniteDuration();
  return std::max(due_.Next() - clock_.SinceBoot(), absl::ZeroDuration());
}

std::optional<PendingRequests::Known> PendingRequests::Find(const std::string& uid) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(uid);
  if (found == entries_.end()) return std::nullopt;
  return found->second.known;
}

void PendingRequests::KeepIssued(const std::string& uid, std::shared_ptr<const IssuedCertificate> issued) {
  MutexLock lock(mutex_);
  if (const auto found = entries_.find(uid); found != entries_.end()) found->second.known.issued = std::move(issued);
}

void PendingRequests::Drop(const std::string& uid) {
  MutexLock lock(mutex_);
  --under_way_;
  ForgetLocked(uid);
}

void PendingRequests::Finish(const std::string& uid) {
  MutexLock lock(mutex_);
  --under_way_;
  const auto found = entries_.find(uid);
  if (found == entries_.end()) return;
  if (found->second.stage == Stage::kDue) due_.Remove(found->second.asker, uid, found->second.due);
  found->second.stage = Stage::kDone;
}

PendingRequests::Entry* PendingRequests::EndAttempt(const std::string& uid) {
  --under_way_;
  const auto found = entries_.find(uid);
  return found == entries_.end() || found->second.stage != Stage::kUnderWay ? nullptr : &found->second;
}

void PendingRequests::TakeNewer(Entry& entry) {
  ApiRequestPtr newer = std::exchange(entry.newer, nullptr);
  // It may have been told of before another version of the API showed more.
  if (newer == nullptr || (entry.newer_shows_less && !entry.known.shown_by.empty())) return;
  entry.known.request = std::move(newer);
}

bool PendingRequests::Await(const std::string& uid, absl::string_view why) {
  MutexLock lock(mutex_);
  Entry* const entry = EndAttempt(uid);
  if (entry == nullptr) return false;
  if (entry->newer != nullptr) {
    // Of what shows less nobody can tell here whether it is newer than what was judged.
    if (entry->newer_shows_less) entry->known.read_first = true;
    TakeNewer(*entry);
    PutDue(uid, *entry, clock_.SinceBoot());
    return false;
  }
  std::string text = absl::StrCat(entry->known.request->Text(), ": ", why);
  entries_.erase(uid);
  if (awaiting_.size() >= kAwaitingMax) return false;
  return awaiting_.insert_or_assign(uid, std::move(text)).second;
}

bool PendingRequests::TryLater(const std::string& uid, const absl::Status& why, bool read_first) {
  MutexLock lock(mutex_);
  Entry* const tried = EndAttempt(uid);
  if (tried == nullptr) return false;
  Entry& entry = *tried;
  TakeNewer(entry);
  entry.known.read_first = entry.known.read_first || read_first;
  entry.why = std::string(why.message());
  ++entry.failures;
  const int doublings = std::min(entry.doublings++, kDoublingsMax);
  const absl::Duration longest = std::min(options_.retry_last, options_.retry_first * (1 << doublings));
  absl::Duration wait = std::max(kubernetes::RetryAfterOf(why), UniformDuration(entropy_, longest / 2, longest));
  entry.awaits_return = kubernetes::IsWithoutAnswer(why);
  if (entry.awaits_return && entry.returns != returns_) {  // it is back by now
    entry.doublings = std::min(entry.doublings, kubernetes::kFailuresKept);
    wait = absl::ZeroDuration();
  }
  PutDue(uid, entry, clock_.SinceBoot() + wait);
  return entry.failures == kSpokenOf;
}

void PendingRequests::ServerReturned() {
  MutexLock lock(mutex_);
  ++returns_;
  const absl::Duration now = clock_.SinceBoot();
  for (auto& [uid, entry] : entries_) {
    if (entry.stage != Stage::kDue || !std::exchange(entry.awaits_return, false)) continue;
    entry.doublings = std::min(entry.doublings, kubernetes::kFailuresKept);
    due_.Remove(entry.asker, uid, entry.due);
    PutDue(uid, entry, now);
  }
}

void PendingRequests::TryAnew(const std::string& uid, ApiRequestPtr request, const std::string& shown_by) {
  MutexLock lock(mutex_);
  Entry* const entry = EndAttempt(uid);
  if (entry == nullptr) return;
  entry->known.request = std::move(request);
  entry->known.read_first = false;
  if (!shown_by.empty()) entry->known.shown_by = shown_by;
  PutDue(uid, *entry, clock_.SinceBoot());
}

void PendingRequests::TrySoon(const std::string& uid) {
  MutexLock lock(mutex_);
  Entry* const entry = EndAttempt(uid);
  if (entry == nullptr) return;
  TakeNewer(*entry);
  entry->soon = entry->judged_again == judged_again_;
  PutDue(uid, *entry, clock_.SinceBoot() + (entry->soon ? options_.soon : absl::ZeroDuration()));
}

void PendingRequests::JudgeAgain() {
  MutexLock lock(mutex_);
  ++judged_again_;
  const absl::Duration now = clock_.SinceBoot();
  for (auto& [uid, entry] : entries_) {
    if (entry.stage != Stage::kDue || !std::exchange(entry.soon, false) || entry.due <= now) continue;
    due_.Remove(entry.asker, uid, entry.due);
    PutDue(uid, entry, now);
  }
}

bool PendingRequests::TakeOverflow() {
  MutexLock lock(mutex_);
  if (!overflowed_ || entries_.size() >= options_.pending_max / 2) return false;
  overflowed_ = false;
  return true;
}

PendingRequests::Summary PendingRequests::Summarize() const {
  MutexLock lock(mutex_);
  Summary summary;
  for (const auto& [uid, entry] : entries_) {
    if (entry.stage == Stage::kDone) continue;
    ++summary.pending;
    if (entry.failures >= kSpokenOf && summary.waits.empty()) {
      summary.waits = absl::StrCat(entry.known.request->Text(), ": ", entry.why);
    }
  }
  summary.awaiting = awaiting_.size();
  if (!awaiting_.empty()) summary.awaits = awaiting_.begin()->second;
  return summary;
}

}  // namespace meshca
