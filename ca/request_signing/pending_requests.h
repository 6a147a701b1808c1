// The requests that are not answered yet, and when each is tried next.
#ifndef MESHCA_CA_REQUEST_SIGNING_PENDING_REQUESTS_H_
#define MESHCA_CA_REQUEST_SIGNING_PENDING_REQUESTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/request_signing/api_request.h"
#include "ca/request_signing/due_requests.h"
#include "ca/request_signing/request_asker.h"

namespace meshca {

struct PendingOptions {
  size_t at_once = 32;         // requests under way
  size_t pending_max = 16384;  // requests known at once; what is beyond is listed again when there is room
  // Between attempts at one request: up to the first, up to twice as long each time, up to the last; never less than
  // the API server asks for; and no longer than until it is back, where it gave no answer.
  absl::Duration retry_first = absl::Milliseconds(250);
  absl::Duration retry_last = absl::Seconds(30);
  // Until an attempt that did not fail is made again (TrySoon), where nobody says sooner that it is worth one.
  absl::Duration soon = absl::Seconds(1);
};

// An attempt at a request begins by TakeDue and ends by one of Drop, Finish, Await, TryLater, TryAnew and TrySoon.
// Times are since boot. Thread-safe.
class PendingRequests {
 public:
  // What an attempt has to know.
  struct Known {
    ApiRequestPtr request;
    bool read_first = false;                          // what is known of it may be old
    std::string shown_by = {};                        // the other version of the API that it was read by; "": none
    std::shared_ptr<const IssuedCertificate> issued;  // recorded, and not handed out yet; null: none
  };
  struct Summary {
    size_t pending = 0;
    std::string waits;    // of one of them that was tried several times: why it is not answered; "": none
    size_t awaiting = 0;  // they wait for somebody else (Await); beside `pending`
    std::string awaits;   // of one of these: what it waits for
  };

  // `clock` and `entropy` outlive it.
  PendingRequests(PendingOptions options, const Clock& clock, EntropySource& entropy)
      : options_(options), clock_(clock), entropy_(entropy) {}

  // What a watch tells. Between a list's begin and end all that are there are kept; the others go at its end.
  void BeginList();
  void EndList();
  // Where there is no room for one more, the asker who has most has to give way (due_requests.h).
  // A request that waits for its next attempt is replaced, unless `shows_less` than what is known of it; one that is
  // under way is looked at as it is now once the attempt has ended.
  void Keep(ApiRequestPtr request, bool shows_less);
  // Nobody waits for an answer any more. An attempt that is under way finds that out by itself.
  void Forget(const std::string& uid);

  // Begins attempts at those that are due.
  std::vector<std::string> TakeDue();
  // Until the next one is due; InfiniteDuration: none waits, or no more may be under way.
  absl::Duration UntilDue() const;
  // Nothing: it was forgotten.
  std::optional<Known> Find(const std::string& uid) const;
  void KeepIssued(const std::string& uid, std::shared_ptr<const IssuedCertificate> issued);

  void Drop(const std::string& uid);
  // It is answered, and kept until the watch shows that: an event from before must not begin it anew.
  void Finish(const std::string& uid);
  // Somebody else has to change the request first: the watch tells of that, or has told of it during the attempt. True:
  // it is new to us.
  bool Await(const std::string& uid, absl::string_view why);
  // True, once: it was tried so often that it is to be spoken of.
  bool TryLater(const std::string& uid, const absl::Status& why, bool read_first);
  // The API server was away and is back: what it gave no answer to is due.
  void ServerReturned();
  // At once, as `request` says now.
  void TryAnew(const std::string& uid, ApiRequestPtr request, const std::string& shown_by);
  // When JudgeAgain is called, or was during the attempt, and soon in any case; it was no failure.
  void TrySoon(const std::string& uid);
  // What TrySoon leaves for later is due.
  void JudgeAgain();

  // True, once: some were left out for want of room, and there is room again.
  bool TakeOverflow();
  Summary Summarize() const;

 private:
  enum class Stage { kDue, kUnderWay, kDone };
  struct Entry {
    Known known;
    RequestAsker asker;  // of the request as it was told of first
    Stage stage = Stage::kDue;
    uint64_t list = 0;  // that it was seen in last
    absl::Duration due;
    int failures = 0;            // in a row
    int doublings = 0;           // of the pause
    bool awaits_return = false;  // `due` is no later than the API server's return
    uint64_t returns = 0;        // of the API server, when the attempt began
    bool soon = false;           // `due` is no later than the next JudgeAgain
    uint64_t judged_again = 0;   // how often, when the attempt began
    std::string why;             // it is not answered yet
    // As the watch told of it during the attempt; null: it did not. What the attempt came to may be overtaken by it.
    ApiRequestPtr newer;
    bool newer_shows_less = false;
  };

  // An attempt at `uid` has ended. Null: it was forgotten meanwhile, and told of anew perhaps.
  Entry* EndAttempt(const std::string& uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the watch told of it during the attempt takes its place, but for what shows less than is known.
  static void TakeNewer(Entry& entry);
  void PutDue(const std::string& uid, Entry& entry, absl::Duration due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetLocked(const std::string& uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MakeRoomFor(const RequestAsker& asker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PendingOptions options_;
  const Clock& clock_;
  EntropySource& entropy_;

  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by uid
  DueRequests due_ ABSL_GUARDED_BY(mutex_);
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool overflowed_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t returns_ ABSL_GUARDED_BY(mutex_) = 0;       // of the API server
  uint64_t judged_again_ ABSL_GUARDED_BY(mutex_) = 0;  // calls of JudgeAgain
  uint64_t list_ ABSL_GUARDED_BY(mutex_) = 0;          // number of the list that began last
  // By uid: what each waits for, for people. A bounded number of them; the others are not counted.
  absl::flat_hash_map<std::string, std::string> awaiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_PENDING_REQUESTS_H_
