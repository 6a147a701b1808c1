#include "ca/authn/fair_pool.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/cpu_count.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

size_t ThreadCount(size_t wanted) {
  return wanted > 0 ? wanted : std::max<size_t>(1, static_cast<size_t>(CpuCount()) / 2);
}

// How many of all places anybody may have; the rest is for sources that have none yet.
size_t SharedPlaces(size_t places_max) { return places_max - places_max / 4; }

}  // namespace

struct FairPool::Source {
  std::string name;
  size_t places = 0;
  std::deque<Waiting> waiting = {};
};

FairPool::Place::Place(Place&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), source_(other.source_) {}

FairPool::Place& FairPool::Place::operator=(Place&& other) noexcept {
  if (this != &other) {
    if (pool_ != nullptr) pool_->GiveBack(*source_);
    pool_ = std::exchange(other.pool_, nullptr);
    source_ = other.source_;
  }
  return *this;
}

FairPool::Place::~Place() {
  if (pool_ != nullptr) pool_->GiveBack(*source_);
}

FairPool::FairPool(Options options) : options_(std::move(options)) {
  const size_t count = ThreadCount(options_.threads);
  threads_.reserve(count);
  for (size_t i = 0; i < count; ++i) threads_.emplace_back([this] { Run(); });
}

FairPool::~FairPool() { Stop(); }

void FairPool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

absl::StatusOr<FairPool::Place> FairPool::Admit(absl::string_view source) {
  {
    MutexLock lock(mutex_);
    const auto found = sources_.find(source);
    const size_t has = found == sources_.end() ? 0 : found->second->places;
    if (has >= options_.places_per_source_max) {
      return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                            has, " ", options_.what, " from ", source,
                            " wait to be verified, the most that one source may have waiting; retry with backoff, and "
                            "look there for a client whose ",
                            options_.what, " are refused")),
                        "AUTHENTICATION_SHARE_USED");
    }
    if (places_ < (has == 0 ? options_.places_max : SharedPlaces(options_.places_max))) {
      std::unique_ptr<Source>& mine = sources_[source];
      if (mine == nullptr) mine = std::make_unique<Source>(Source{std::string(source)});
      ++mine->places;
      ++places_;
      return Place(this, mine.get());
    }
  }
  return WithReason(absl::ResourceExhaustedError(
                        absl::StrCat("too many ", options_.what, " wait to be verified; retry with backoff")),
                    "AUTHENTICATION_QUEUE_FULL");
}

void FairPool::GiveBack(Source& source) {
  MutexLock lock(mutex_);
  --places_;
  if (--source.places == 0) sources_.erase(sources_.find(source.name));
}

void FairPool::Submit(Place place, Work work) {
  {
    MutexLock lock(mutex_);
    if (!stopping_) {
      Source* const source = place.source_;
      if (source->waiting.empty()) turns_.push_back(source);
      source->waiting.push_back(Waiting{std::move(place), std::move(work)});
      changed_.NotifyOne();
      return;
    }
  }
  std::move(work)();
}

FairPool::Waiting FairPool::TakeNext() {
  Source* const source = turns_.front();
  turns_.pop_front();
  Waiting next = std::move(source->waiting.front());
  source->waiting.pop_front();
  if (!source->waiting.empty()) turns_.push_back(source);
  return next;
}

void FairPool::Run() {
  mutex_.Lock();
  for (;;) {
    while (turns_.empty() && !stopping_) changed_.Wait(mutex_);
    if (turns_.empty()) break;
    std::optional<Waiting> next = TakeNext();
    mutex_.Unlock();
    std::move(next->work)();
    next.reset();  // gives the place back, which takes the lock
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace meshca
