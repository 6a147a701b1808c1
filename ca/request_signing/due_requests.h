// Which request is tried next, so that nobody waits behind all the requests of somebody else.
#ifndef MESHCA_CA_REQUEST_SIGNING_DUE_REQUESTS_H_
#define MESHCA_CA_REQUEST_SIGNING_DUE_REQUESTS_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "ca/request_signing/asker_turns.h"
#include "ca/request_signing/request_asker.h"

namespace meshca {

// Requests by their uids, and when each is due, since boot. Of those that are due the parties take turns, in a party
// its namespaces, in a namespace its accounts; of one account's the one that has been due longest comes first. Each
// step takes as long as the logarithm of how many there are. A value with one owner: no lock, no clock.
class DueRequests {
 public:
  // `costly`: it gives way only where its account has nothing else (GivesWayTo).
  void Put(const RequestAsker& asker, const std::string& uid, absl::Duration due, bool costly = false);
  // By the words of Put; nothing, where it is not there.
  void Remove(const RequestAsker& asker, const std::string& uid, absl::Duration due);

  // The uid of the next one that is due by `now`, which is removed.
  std::optional<std::string> Take(absl::Duration now);
  // When the next one is due; InfiniteDuration: there is none. It may be past.
  absl::Duration Next() const { return parties_.Next(); }

  // What is given up for one more request of `asker`: of the party that has most, where those are more than the asker's
  // would have then; else, by the same rule, of another namespace or account of the asker's party. Of that the one that
  // would be tried last, of those that are not costly, if there are any. Nothing: nobody has more than his share.
  std::optional<std::string> GivesWayTo(const RequestAsker& asker) const;

 private:
  Turns<Turns<Turns<OwnRequests>>> parties_;  // namespaces, accounts
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_DUE_REQUESTS_H_
