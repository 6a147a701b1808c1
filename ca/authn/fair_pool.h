// A few threads for what strangers' credentials cost, and a queue in which the strangers take turns.
#ifndef MESHCA_CA_AUTHN_FAIR_POOL_H_
#define MESHCA_CA_AUTHN_FAIR_POOL_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"

namespace meshca {

// Verifying a signature costs up to milliseconds, and anybody may ask for it by sending garbage. So it runs on threads
// of its own, and each source (an address, a uid, a proven identity: Credentials::source) has places in it:
//   - A source beyond its own places is refused. It cannot use up those of others.
//   - Sources take turns: whoever waits alone behind another's thousand waits for the work under way, and for one piece
//     of work of each other source that waits.
//   - The last quarter of all places is for sources that have none, so that a few sources cannot shut out the rest.
// Thread-safe.
class FairPool {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  struct Options {
    size_t threads = 0;  // 0: half of the CPUs, at least one; the loops need the others
    size_t places_max = 2048;
    size_t places_per_source_max = 256;  // as many calls at once as a balancer or a host full of pods may make
    std::string what = "credentials";    // for people: what waits here
  };

  struct Source;

  // A source's right to one piece of work, from Admit until the work has run or the Place ends unused. Moves. The pool
  // outlives it.
  class Place {
   public:
    Place(Place&& other) noexcept;
    Place& operator=(Place&& other) noexcept;
    ~Place();

   private:
    friend class FairPool;
    Place(FairPool* pool, Source* source) : pool_(pool), source_(source) {}
    FairPool* pool_;  // null: moved from
    Source* source_;  // stays as long as it has places
  };

  explicit FairPool(Options options);
  // As Stop.
  ~FairPool();

  // ResourceExhausted: AUTHENTICATION_SHARE_USED (the source has all the places that one may have) or
  // AUTHENTICATION_QUEUE_FULL (nobody has a place to give); both say what to do.
  absl::StatusOr<Place> Admit(absl::string_view source);

  // `work` runs once, on a thread of the pool when the turn of the place's source has come; after Stop at once, on the
  // caller's.
  void Submit(Place place, Work work);

  // Runs what waits, and joins. Idempotent, by one thread.
  void Stop();

 private:
  struct Waiting {
    Place place;
    Work work;
  };
  void Run();
  // Of the source whose turn it is; there is one.
  Waiting TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBack(Source& source);

  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  absl::flat_hash_map<std::string, std::unique_ptr<Source>> sources_ ABSL_GUARDED_BY(mutex_);  // those with places
  std::deque<Source*> turns_ ABSL_GUARDED_BY(mutex_);  // those with waiting work, whose turn is next in front
  size_t places_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_FAIR_POOL_H_
