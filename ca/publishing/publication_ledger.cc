#include "ca/publishing/publication_ledger.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "ca/kubernetes/api_refusal.h"
#include "ca/kubernetes/outage.h"

namespace meshca {
namespace {

// A rotation publishes three contents one after another; what is older counts as nothing.
constexpr size_t kRemembered = 8;
constexpr uint32_t kDoublingsMax = 20;

}  // namespace

void PublicationLedger::SetContent(TrustVersion version, std::string content, absl::Duration now) {
  if (!contents_.empty() && contents_.back().text == content) {
    contents_.back().version = version;
    return;
  }
  contents_.push_back({version, std::move(content)});
  ++newest_;
  if (contents_.size() > kRemembered) contents_.pop_front();
  for (auto& [place, object] : objects_) {
    // A content that comes back (an aborted rotation's roots are withdrawn) stands where nothing else came to stand
    // meanwhile, and an object that nobody writes tells of no change.
    const Content* const shown = Find(object.content);
    if (shown != nullptr && shown->text == contents_.back().text) object.content = newest_;
    // What was waited for in vain was about another content.
    TryAt(object, now);
    object.failures = object.contests = 0;
    object.fault.clear();
  }
  SettleAll();
}

const std::string& PublicationLedger::content() const {
  static const std::string none;
  return contents_.empty() ? none : contents_.back().text;
}

void PublicationLedger::BeginPlaces() {
  for (auto& [place, object] : objects_) object.listed = false;
}

void PublicationLedger::EndPlaces() {
  places_listed_ = true;
  for (auto& [place, object] : objects_) object.is_place &= object.listed;
  SettleAll();
}

void PublicationLedger::AddPlace(const std::string& place, absl::Duration now) {
  const auto [object, is_new] = objects_.try_emplace(place);
  object->second.listed = true;
  if (!object->second.is_place) TryAt(object->second, now);
  object->second.is_place = true;
  // Who reads a new place has read nothing else there.
  object->second.is_fresh |= is_new && complete();
  Settle(object);
}

void PublicationLedger::RemovePlace(const std::string& place) {
  const auto object = objects_.find(place);
  if (object == objects_.end()) return;
  object->second.is_place = false;
  Settle(object);
}

void PublicationLedger::BeginSeen() {
  for (auto& [place, object] : objects_) object.seen_now = false;
}

void PublicationLedger::EndSeen(absl::Duration now) {
  seen_listed_ = true;
  for (auto& [place, object] : objects_) {
    if (object.there && !object.seen_now) {
      object.there = false;
      Show(object, 0, true, now);
    }
  }
  SettleAll();
}

bool PublicationLedger::Seen(const std::string& place, absl::string_view content, absl::Duration now, bool marked) {
  const auto [object, is_new] = objects_.try_emplace(place);
  object->second.seen_now = true;
  object->second.there = true;
  uint64_t number = 0;
  for (size_t back = 0; back < contents_.size() && number == 0; ++back) {
    if (contents_[contents_.size() - 1 - back].text == content) number = newest_ - back;
  }
  const bool contested = Show(object->second, number, marked, now);
  Settle(object);
  return contested;
}

bool PublicationLedger::SeenGone(const std::string& place, absl::Duration now) {
  const auto object = objects_.find(place);
  if (object == objects_.end()) return false;
  object->second.there = false;
  const bool contested = Show(object->second, 0, true, now);
  Settle(object);
  return contested;
}

// What the object shows from now on.
bool PublicationLedger::Show(Object& object, uint64_t number, bool marked, absl::Duration now) {
  const bool lost_marks = std::exchange(object.marked, marked) && !marked;
  if (number == newest_ && newest_ != 0) object.fault.clear();  // one that is over
  if (number == newest_ && newest_ != 0 && marked) {
    object.failures = object.unmarked_writes = 0;
    // That somebody contests the object is not over before a while has passed since the last write, which may be one
    // that has not ended yet.
    if (!object.being_written && now - object.written_at > options_.contest) object.contests = 0;
  }
  const bool was_current = object.content == newest_ && newest_ != 0;
  if (number == object.content) {
    // It stood there from the beginning, and is none of ours.
    if (number == 0 && object.there) object.is_fresh = false;
    if (!lost_marks) return false;
  } else {
    // Who reads a content that is not ours may believe nothing of what we published.
    object.held_before = number == 0 ? 0 : HeldBy(object, now);
    if (number != 0 && std::exchange(object.is_fresh, false)) object.held_before = VersionOf(number);
    object.content = number;
    object.seen_at = now;
  }
  if (!was_current || !object.is_place) return false;
  // Somebody else changed it.
  if (now - object.written_at > options_.contest) object.contests = 0;
  TryAt(object, now + (object.contests == 0 ? absl::ZeroDuration() : Backoff(object)));
  const bool contested = object.contests++ > 0;
  object.fault.clear();
  if (contested && object.content != newest_) {
    object.fault = absl::StrCat("somebody else has changed it ", object.contests,
                                " times, each time within a minute of our writing it, or trying to; find who does (its "
                                "metadata.managedFields say), and end that");
  }
  return contested;
}

std::vector<std::string> PublicationLedger::TakeDue(absl::Duration now, size_t max) {
  std::vector<std::string> taken;
  if (!complete()) return taken;
  while (taken.size() < max && !due_.empty() && due_.begin()->first <= now) {
    const auto object = objects_.find(due_.begin()->second);
    object->second.being_written = true;
    object->second.writing = newest_;
    object->second.returns = returns_;
    taken.push_back(object->first);
    Settle(object);
  }
  return taken;
}

absl::Duration PublicationLedger::NextDue() const {
  return !complete() || due_.empty() ? absl::InfiniteDuration() : due_.begin()->first;
}

void PublicationLedger::Written(const std::string& place, absl::Duration now) {
  const auto object = objects_.find(place);
  if (object == objects_.end()) return;
  object->second.being_written = false;
  object->second.written_at = now;
  object->second.failures = 0;
  object->second.fault.clear();
  absl::Duration seen_within = options_.seen_within;
  if (object->second.content == newest_ && !object->second.marked) {
    // Where something on the way takes our labels out they never show.
    seen_within = std::min(options_.marks_retry_last, seen_within * std::exp2(object->second.unmarked_writes));
    object->second.unmarked_writes = std::min(object->second.unmarked_writes + 1, kDoublingsMax);
  }
  // What is to stand there may be another content by now.
  TryAt(object->second, object->second.writing == newest_ ? now + seen_within : now);
  Settle(object);
}

bool PublicationLedger::Failed(const std::string& place, std::string why, const absl::Status& status, double spread,
                               absl::Duration now) {
  const auto found = objects_.find(place);
  if (found == objects_.end()) return false;
  Object& object = found->second;
  object.being_written = false;
  // It may have gone through all the same: the answer was lost, or longer than it is read. Who changes the object then
  // contests it like any other.
  object.written_at = now;
  TryAt(object, now + std::max(kubernetes::RetryAfterOf(status), Backoff(object) * (0.5 + spread / 2)));
  ++object.failures;
  if (kubernetes::IsWithoutAnswer(status)) {
    object.awaits_return = true;
    if (object.returns != returns_) Return(object, now);
  }
  const bool is_news = object.is_place && object.fault != why;
  object.fault = std::move(why);
  Settle(found);
  return is_news;
}

void PublicationLedger::ServerReturned(absl::Duration now) {
  ++returns_;
  for (auto& [place, object] : objects_) {
    if (!object.awaits_return) continue;
    Return(object, now);
  }
  SettleAll();
}

void PublicationLedger::Return(Object& object, absl::Duration now) {
  object.failures = std::min<uint32_t>(object.failures, kubernetes::kFailuresKept);
  TryAt(object, now);
}

std::vector<Publication> PublicationLedger::List(absl::Duration heard) const {
  std::vector<Publication> all;
  for (const auto& [place, object] : objects_) {
    if (!object.is_place) continue;
    Publication& one = all.emplace_back();
    one.place = place;
    one.held = HeldBy(object, heard);
    one.written = VersionOf(object.content);
    one.held_at = object.seen_at + options_.mount_delay;
    if (object.behind) one.fault = object.fault;
  }
  return all;
}

size_t PublicationLedger::places() const {
  return static_cast<size_t>(
      std::count_if(objects_.begin(), objects_.end(), [](const auto& object) { return object.second.is_place; }));
}

const PublicationLedger::Content* PublicationLedger::Find(uint64_t number) const {
  const uint64_t oldest = newest_ + 1 - contents_.size();
  return number == 0 || number < oldest ? nullptr : &contents_[number - oldest];
}

TrustVersion PublicationLedger::VersionOf(uint64_t number) const {
  const Content* const content = Find(number);
  return content == nullptr ? 0 : content->version;
}

TrustVersion PublicationLedger::HeldBy(const Object& object, absl::Duration now) const {
  const TrustVersion shown = VersionOf(object.content);
  return now >= object.seen_at + options_.mount_delay ? shown : std::min(shown, object.held_before);
}

absl::Duration PublicationLedger::Backoff(const Object& object) const {
  const uint32_t doublings = std::min(object.failures + object.contests, kDoublingsMax);
  // An object that shows the content lacks its labels at most.
  const absl::Duration last = object.content == newest_ ? options_.marks_retry_last : options_.retry_last;
  return std::min(last, options_.retry_first * std::exp2(doublings));
}

void PublicationLedger::TryAt(Object& object, absl::Duration at) {
  object.next_try = at;
  object.awaits_return = false;
}

void PublicationLedger::Settle(Objects::iterator object) {
  Object& state = object->second;
  const bool behind = state.is_place && (newest_ == 0 || state.content != newest_);
  behind_ += behind ? 1 : 0;
  behind_ -= std::exchange(state.behind, behind) ? 1 : 0;
  const bool lacks_marks = state.is_place && !state.marked;
  const bool to_write = (behind || lacks_marks) && newest_ != 0 && !state.being_written;
  const absl::Duration due = to_write ? state.next_try : absl::InfiniteDuration();
  if (due != state.due) {
    if (state.due != absl::InfiniteDuration()) due_.erase({state.due, object->first});
    if (due != absl::InfiniteDuration()) due_.emplace(due, object->first);
    state.due = due;
  }
  if (!state.is_place && !state.there && !state.being_written) objects_.erase(object);
}

void PublicationLedger::SettleAll() {
  for (auto object = objects_.begin(); object != objects_.end();) {
    const std::string place = object->first;
    Settle(object);
    object = objects_.upper_bound(place);
  }
}

bool PublicationLedger::IsBehind(const std::string& place) const {
  const auto object = objects_.find(place);
  return object != objects_.end() && object->second.behind;
}

std::optional<std::pair<std::string, std::string>> PublicationLedger::FirstFault() const {
  if (behind_ == 0) return std::nullopt;
  for (const auto& [place, object] : objects_) {
    if (object.behind && !object.fault.empty()) return std::make_pair(place, object.fault);
  }
  return std::nullopt;
}

}  // namespace meshca
