#include "ca/kubernetes/served_watch.h"

#include <algorithm>
#include <string>
#include <utility>

#include "ca/base/log.h"

namespace meshca::kubernetes {

ServedWatch::ServedWatch(std::vector<ListWatchOptions> versions, absl::Duration look_again, ApiServer& server,
                         ObjectSink& sink, const Clock& clock, EntropySource& entropy)
    : versions_(std::move(versions)),
      look_again_every_(look_again),
      server_(server),
      sink_(sink),
      clock_(clock),
      entropy_(entropy) {}

void ServedWatch::Start() { Follow(0); }

void ServedWatch::Follow(size_t version) {
  auto watch = std::make_shared<ListWatch>(versions_[version], server_, sink_, clock_, entropy_);
  MutexLock lock(mutex_);
  version_ = version;
  watch_ = std::move(watch);
}

void ServedWatch::Leave(ListWatch& watch) {
  watch.Stop();
  const absl::Duration heard = clock_.SinceBoot() - watch.Age();
  MutexLock lock(mutex_);
  heard_ = std::max(heard_, heard);
}

// A list of what is not served is answered by NotFound.
void ServedWatch::Look() {
  const std::shared_ptr<ListWatch> following = watch();
  if (following == nullptr) {
    if (clock_.SinceBoot() >= look_again_) Follow(0);
    return;
  }
  if (following->lists() > 0) {
    last_ = version();
    MutexLock lock(mutex_);
    unserved_ = false;
  }
  if (!absl::IsNotFound(following->LastError())) return;
  const size_t next = version() + 1;
  if (last_.has_value()) {
    // All the others in turn, until this one is reached again.
    if (last_ == version()) {
      if (versions_.size() == 1 || clock_.SinceBoot() < look_again_) return;
      look_again_ = clock_.SinceBoot() + look_again_every_;
    }
    Leave(*following);
    return Follow(next % versions_.size());
  }
  Leave(*following);
  if (next < versions_.size()) return Follow(next);
  look_again_ = clock_.SinceBoot() + look_again_every_;
  MutexLock lock(mutex_);
  watch_ = nullptr;
  if (std::exchange(unserved_, true)) return;
  LogWarning(
      "the API server does not serve what is to be followed: it is looked for again",
      {{"resource", versions_.front().resource.Text()}, {"error", std::string(following->LastError().message())}});
}

void ServedWatch::ListAgain() {
  const std::shared_ptr<ListWatch> following = watch();
  if (following == nullptr) return;
  Leave(*following);
  Follow(version());
}

void ServedWatch::Stop() {
  if (const std::shared_ptr<ListWatch> following = watch(); following != nullptr) following->Stop();
}

size_t ServedWatch::version() const {
  MutexLock lock(mutex_);
  return version_;
}

bool ServedWatch::unserved() const {
  MutexLock lock(mutex_);
  return unserved_;
}

absl::Status ServedWatch::LastError() const {
  const std::shared_ptr<ListWatch> following = watch();
  return following == nullptr ? absl::OkStatus() : following->LastError();
}

absl::Duration ServedWatch::Age() const {
  const std::shared_ptr<ListWatch> following = watch();
  if (following == nullptr) return absl::InfiniteDuration();
  const absl::Duration age = following->Age();
  MutexLock lock(mutex_);
  return std::min(age, clock_.SinceBoot() - heard_);
}

std::shared_ptr<ListWatch> ServedWatch::watch() const {
  MutexLock lock(mutex_);
  return watch_;
}

}  // namespace meshca::kubernetes
