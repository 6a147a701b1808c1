// Queues of requests that take turns, and queues of such queues.
#ifndef MESHCA_CA_REQUEST_SIGNING_ASKER_TURNS_H_
#define MESHCA_CA_REQUEST_SIGNING_ASKER_TURNS_H_

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"

namespace meshca {

// A request, and when it is due, since boot.
struct TimedRequest {
  std::string uid;
  absl::Duration due;
};

// The requests of one who asks: the one that has been due longest comes first. What can be in Turns, as are Turns
// themselves: they have these functions, with the name of each level before what is here.
class OwnRequests {
 public:
  void Put(const TimedRequest& request, bool costly) {
    due_.emplace(request.due, request.uid);
    if (!costly) cheap_.emplace(request.due, request.uid);
  }
  void Remove(const TimedRequest& request) {
    due_.erase({request.due, request.uid});
    cheap_.erase({request.due, request.uid});
  }
  // There is one that is due.
  std::string Take(absl::Duration) {
    const auto [due, uid] = *due_.begin();
    Remove({uid, due});
    return uid;
  }
  absl::Duration Next() const { return due_.begin()->first; }  // there is one
  size_t size() const { return due_.size(); }
  std::string Last() const { return (cheap_.empty() ? due_ : cheap_).rbegin()->second; }  // there is one
  std::optional<std::string> GivesWay() const { return std::nullopt; }

 private:
  using Times = std::set<std::pair<absl::Duration, std::string>>;
  Times due_;
  Times cheap_;  // those of `due_` that are not costly
};

// Queues by name, of which those take turns that have something due. None is empty.
template <typename Queue>
class Turns {
 public:
  template <typename... Within>
  void Put(const TimedRequest& request, bool costly, const std::string& name, const Within&... within) {
    Member& member = members_[name];
    const bool is_ready = member.queue.size() > 0 && !member.at.has_value();
    TakeOut(name, member);
    member.queue.Put(request, costly, within...);
    PutBack(name, member, is_ready);
  }

  template <typename... Within>
  void Remove(const TimedRequest& request, const std::string& name, const Within&... within) {
    const auto found = members_.find(name);
    if (found == members_.end()) return;
    TakeOut(name, found->second);
    found->second.queue.Remove(request, within...);
    // Whether it is still ready the next Take finds out.
    PutBackOrErase(found);
  }

  // The uid of the next one that is due, which is removed. There is one: Next() <= now.
  std::string Take(absl::Duration now) {
    while (!later_.empty() && later_.begin()->first <= now) {
      const std::string name = later_.begin()->second;
      Member& member = members_.at(name);
      TakeOut(name, member);
      PutBack(name, member, true);
    }
    auto turn = ready_.upper_bound(last_);
    if (turn == ready_.end()) turn = ready_.begin();
    last_ = *turn;
    const auto found = members_.find(last_);
    TakeOut(last_, found->second);
    std::string uid = found->second.queue.Take(now);
    PutBackOrErase(found);
    return uid;
  }

  // When the next one is due; InfiniteDuration: there is none. It may be past.
  absl::Duration Next() const {
    if (!ready_.empty()) return members_.at(*ready_.begin()).queue.Next();
    return later_.empty() ? absl::InfiniteDuration() : later_.begin()->first;
  }

  // Of requests.
  size_t size() const { return size_; }

  // Of the queue with most: the one that would be tried last. There is one.
  std::string Last() const { return members_.at(sizes_.rbegin()->second).queue.Last(); }

  // What gives way to one more of `name`: of the queue with most, where those are more than `name` would have then;
  // else something of its own, by the same rule within it.
  template <typename... Within>
  std::optional<std::string> GivesWay(const std::string& name, const Within&... within) const {
    const auto found = members_.find(name);
    const size_t would_have = (found == members_.end() ? 0 : found->second.queue.size()) + 1;
    if (!sizes_.empty() && sizes_.rbegin()->first > would_have) return Last();
    return found == members_.end() ? std::nullopt : found->second.queue.GivesWay(within...);
  }

 private:
  struct Member {
    Queue queue;
    std::optional<absl::Duration> at = {};  // where it stands in later_; nothing: in ready_
  };

  // Between a change of what a member has and the end of that change it stands nowhere.
  void TakeOut(const std::string& name, const Member& member) {
    if (member.queue.size() == 0) return;
    size_ -= member.queue.size();
    sizes_.erase({member.queue.size(), name});
    if (member.at.has_value())
      later_.erase({*member.at, name});
    else
      ready_.erase(name);
  }

  void PutBack(const std::string& name, Member& member, bool is_ready) {
    size_ += member.queue.size();
    sizes_.emplace(member.queue.size(), name);
    member.at.reset();
    if (is_ready) {
      ready_.insert(name);
    } else {
      member.at = member.queue.Next();
      later_.emplace(*member.at, name);
    }
  }

  void PutBackOrErase(typename std::map<std::string, Member>::iterator found) {
    if (found->second.queue.size() == 0)
      members_.erase(found);
    else
      PutBack(found->first, found->second, false);
  }

  std::map<std::string, Member> members_;
  size_t size_ = 0;
  std::set<std::pair<absl::Duration, std::string>> later_;  // when a member has something due first, and its name
  std::set<std::string> ready_;                             // members of which something was due when it was looked
  std::set<std::pair<size_t, std::string>> sizes_;          // how many each has
  std::string last_;                                        // whose turn it was
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_ASKER_TURNS_H_
