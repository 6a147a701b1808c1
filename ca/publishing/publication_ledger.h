// What is published in objects that others read: where it is to stand, where it stands, and what is to be written next.
#ifndef MESHCA_CA_PUBLISHING_PUBLICATION_LEDGER_H_
#define MESHCA_CA_PUBLISHING_PUBLICATION_LEDGER_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

struct PublicationOptions {
  // Who reads an object by a file that somebody else keeps up to date (a kubelet's volume) has it this long after it
  // was written.
  absl::Duration mount_delay = absl::Minutes(2);
  // Between two writes of one object, where the first failed or somebody else has changed the object again: up to the
  // first, twice as long each time, up to the last.
  absl::Duration retry_first = absl::Milliseconds(500);
  absl::Duration retry_last = absl::Seconds(30);
  // What was written and is not seen after this is written again.
  absl::Duration seen_within = absl::Seconds(15);
  // The longest pause between two writes of an object that shows its content, whose labels alone are not as they are to
  // be: whoever insists on others harms nobody.
  absl::Duration marks_retry_last = absl::Minutes(10);
  // Who changes an object so soon after a write of ours, which may have gone through where it failed, will do so again.
  absl::Duration contest = absl::Minutes(1);
};

// One object.
struct Publication {
  std::string place;
  TrustVersion held = 0;     // that all who read it have by now
  TrustVersion written = 0;  // that stands in it; 0: nothing of ours, or something older than is remembered
  absl::Duration held_at;    // since boot: from when `written` counts as held
  std::string fault;         // why it is not as it should be, for people; "": nothing is known to be wrong
};

// One content, which is to stand in one object at each of many places ("": the one place of an object that is in no
// namespace). An object that somebody else has changed or deleted is due to be written again, at once the first time.
// All times are since boot. A value with one owner: no lock, no clock.
class PublicationLedger {
 public:
  explicit PublicationLedger(PublicationOptions options) : options_(options) {}

  // What is to stand there from now on. A version with the content of an earlier one is held wherever that is.
  void SetContent(TrustVersion version, std::string content, absl::Duration now);
  // "": there is none yet, and nothing is due.
  const std::string& content() const;

  // The places, as a list and its changes tell them.
  void BeginPlaces();
  void EndPlaces();  // those that were not named since BeginPlaces are none
  void AddPlace(const std::string& place, absl::Duration now);
  void RemovePlace(const std::string& place);

  // The objects, likewise; of places that are none too.
  void BeginSeen();
  void EndSeen(absl::Duration now);
  // `marked`: its labels and annotations are as they are to be. Where they are not it is due as well, but nobody is
  // behind for that. Whether somebody else has changed it, a short time after it was written, and not for the first
  // time.
  bool Seen(const std::string& place, absl::string_view content, absl::Duration now, bool marked = true);
  bool SeenGone(const std::string& place, absl::Duration now);

  // Whether both lists have come to their end once. Nothing is due before: it may be there already.
  bool complete() const { return places_listed_ && seen_listed_; }

  // Up to `max` places that are to be written now. Each is told Written or Failed.
  std::vector<std::string> TakeDue(absl::Duration now, size_t max);
  // When TakeDue will have something; InfiniteDuration: not by time alone.
  absl::Duration NextDue() const;
  void Written(const std::string& place, absl::Duration now);
  // `status` is the error of the call, `why` the same for people. Not tried again before the API server's wish
  // (Retry-After) and the ledger's own wait are over; `spread`, between 0 and 1, keeps those that failed together from
  // trying together. Where the API server gave no answer it need not wait longer than until that is back, which it may
  // be by now. Whether this is news: a failure with the same words is none.
  bool Failed(const std::string& place, std::string why, const absl::Status& status, double spread, absl::Duration now);
  // The API server was away and is back: what awaited that is due.
  void ServerReturned(absl::Duration now);

  // In the order of their names. `heard`: when the objects were last heard of. What somebody did to them since then is
  // not known, so a time that ran out since then does not count.
  std::vector<Publication> List(absl::Duration heard) const;
  size_t places() const;
  size_t behind() const { return behind_; }  // places that do not show the content
  bool IsBehind(const std::string& place) const;
  // The first of these with a fault. Nothing: there is none.
  std::optional<std::pair<std::string, std::string>> FirstFault() const;

 private:
  struct Content {
    TrustVersion version = 0;
    std::string text;
  };
  struct Object {
    bool is_place = false;
    bool listed = false;    // since BeginPlaces
    bool seen_now = false;  // since BeginSeen
    bool there = false;
    bool marked = true;     // or it is not there
    bool is_fresh = false;  // a place that is new, at which nothing has stood yet
    bool being_written = false;
    uint64_t writing = 0;          // the number of the content that was written to it last
    bool behind = false;           // counted in behind_
    bool awaits_return = false;    // next_try is no later than the API server's return
    uint64_t returns = 0;          // when it was written last
    uint32_t failures = 0;         // writes in a row that failed
    uint32_t contests = 0;         // times in a row that somebody else has put a content in place of ours
    uint32_t unmarked_writes = 0;  // in a row that went through and did not show as marked before their end
    uint64_t content = 0;          // its number in contents_, that was seen last; 0: none of them
    TrustVersion held_before = 0;  // by all readers, while seen_at + mount_delay is not over
    absl::Duration seen_at = -absl::InfiniteDuration();
    absl::Duration written_at = -absl::InfiniteDuration();  // the end of a write, which may have failed
    absl::Duration next_try = -absl::InfiniteDuration();
    absl::Duration due = absl::InfiniteDuration();  // its place in due_
    std::string fault;
  };
  using Objects = absl::btree_map<std::string, Object>;

  uint64_t CurrentNumber() const { return newest_; }
  const Content* Find(uint64_t number) const;
  TrustVersion VersionOf(uint64_t number) const;
  TrustVersion HeldBy(const Object& object, absl::Duration now) const;
  absl::Duration Backoff(const Object& object) const;
  static void TryAt(Object& object, absl::Duration at);
  static void Return(Object& object, absl::Duration now);                       // the API server's, which it awaited
  bool Show(Object& object, uint64_t number, bool marked, absl::Duration now);  // what Seen says
  // Brings due_ and behind_ in step with what is known of it, and forgets an object that is no place and not there.
  void Settle(Objects::iterator object);
  void SettleAll();

  const PublicationOptions options_;
  std::deque<Content> contents_;  // the newest last; what is older than kRemembered is forgotten
  uint64_t newest_ = 0;           // the number of contents_.back(); 0: there is none
  Objects objects_;
  std::set<std::pair<absl::Duration, std::string>> due_;
  size_t behind_ = 0;
  uint64_t returns_ = 0;  // of the API server
  bool places_listed_ = false;
  bool seen_listed_ = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_PUBLISHING_PUBLICATION_LEDGER_H_
