// Which request is tried next, so that nobody waits behind all the requests of somebody else.
#ifndef MESHCA_CA_REQUEST_SIGNING_DUE_REQUESTS_H_
#define MESHCA_CA_REQUEST_SIGNING_DUE_REQUESTS_H_

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"

namespace meshca {

// Requests by their uids, and when each is due, since boot. Of those that are due the askers take turns; of one asker's
// the one that has been due longest comes first. Each step takes as long as the logarithm of how many there are. A
// value with one owner: no lock, no clock.
class DueRequests {
 public:
  // `costly`: it gives way only where its asker has nothing else (LastOfWhoHasMoreThan).
  void Put(const std::string& asker, const std::string& uid, absl::Duration due, bool costly = false);
  // By the words of Put; nothing, where it is not there.
  void Remove(const std::string& asker, const std::string& uid, absl::Duration due);

  // The uid of the next one that is due by `now`, which is removed.
  std::optional<std::string> Take(absl::Duration now);
  // When the next one is due; InfiniteDuration: there is none. It may be past.
  absl::Duration Next() const;

  size_t CountOf(const std::string& asker) const;
  // Of the asker who has most, where those are more than `count`: the one that would be tried last, of those that are
  // not costly, if there are any.
  std::optional<std::string> LastOfWhoHasMoreThan(size_t count) const;

 private:
  using Times = std::set<std::pair<absl::Duration, std::string>>;
  // What one asker has.
  struct Queue {
    Times due;                              // when, uid
    Times cheap;                            // those of `due` that are not costly
    std::optional<absl::Duration> at = {};  // where it stands in later_; nothing: in ready_
  };

  // Between a change of what an asker has and the end of that change it stands nowhere.
  void TakeOut(const std::string& asker, const Queue& queue);
  void PutBack(const std::string& asker, Queue& queue, bool is_ready);

  std::map<std::string, Queue> askers_;             // each has something
  Times later_;                                     // the first time of an asker, and who it is
  std::set<std::string> ready_;                     // askers of whom something was due when it was looked last
  std::set<std::pair<size_t, std::string>> sizes_;  // how many each asker has
  std::string last_;                                // whose turn it was
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_DUE_REQUESTS_H_
