#include "ca/kubernetes/served_watch.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"

namespace meshca::kubernetes {
namespace {
// A proxy that has lost the API server for a moment says of everything that it is not there.
constexpr absl::Duration kNotFoundFor = absl::Seconds(5);
constexpr int kDoublingsMax = 16;
constexpr absl::Duration kAskTimeout = absl::Seconds(10);
}  // namespace

ServedWatch::ServedWatch(std::vector<ListWatchOptions> versions, absl::Duration look_again, ApiServer& server,
                         ObjectSink& sink, const Clock& clock, EntropySource& entropy)
    : versions_(std::move(versions)),
      look_again_every_(look_again),
      server_(server),
      sink_(sink),
      clock_(clock),
      entropy_(entropy),
      asks_(server, kAskTimeout) {}

void ServedWatch::Start() { Follow(0); }

void ServedWatch::Follow(size_t version) {
  lost_since_ = absl::InfiniteDuration();
  ask_again_ = version == 0 ? absl::InfiniteDuration() : clock_.SinceBoot() + look_again_every_;
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
  if (const std::optional<size_t> better = TakeBetter(); better.has_value()) {
    LogInfo("a version of an API that is preferred is served now",
            {{"resource", versions_[*better].resource.Text()}, {"version", versions_[*better].resource.version}});
    Leave(*following);
    return Follow(*better);
  }
  if (!absl::IsNotFound(following->LastError())) {
    lost_since_ = absl::InfiniteDuration();
    return AskForABetter();
  }
  const size_t next = version() + 1;
  if (last_.has_value()) {
    // All the others in turn, until this one is reached again.
    if (last_ == version()) {
      if (versions_.size() == 1 || !IsLost() || clock_.SinceBoot() < look_again_) return;
      look_again_ = clock_.SinceBoot() + look_again_every_;
    }
    Leave(*following);
    return Follow(next % versions_.size());
  }
  Leave(*following);
  if (next < versions_.size()) return Follow(next);
  const absl::Duration pause = kNotFoundFor * (1 << std::min(unserved_looks_++, kDoublingsMax));
  look_again_ = clock_.SinceBoot() + std::min(look_again_every_, pause);
  MutexLock lock(mutex_);
  watch_ = nullptr;
  if (std::exchange(unserved_, true)) return;
  LogWarning(
      "the API server does not serve what is to be followed: it is looked for again",
      {{"resource", versions_.front().resource.Text()}, {"error", std::string(following->LastError().message())}});
}

bool ServedWatch::IsLost() {
  lost_since_ = std::min(lost_since_, clock_.SinceBoot());
  return clock_.SinceBoot() - lost_since_ >= kNotFoundFor;
}

void ServedWatch::AskForABetter() {
  const size_t followed = version();
  if (followed == 0 || clock_.SinceBoot() < ask_again_) return;
  ask_again_ = clock_.SinceBoot() + look_again_every_;
  const size_t better = asked_++ % followed;
  const ListWatchOptions& options = versions_[better];
  ApiCall call;
  call.verb = "list";
  call.resource = options.resource;
  call.namespace_name = options.namespace_name;
  call.query = absl::StrCat("limit=1", SelectorsOf(options));
  call.granted_for = options.granted_for;
  asks_.SendAndPick(call, {"metadata.resourceVersion"}, [this, better](const absl::StatusOr<PickedFields>& page) {
    if (!page.ok()) return;
    MutexLock lock(mutex_);
    better_ = better;
  });
}

std::optional<size_t> ServedWatch::TakeBetter() {
  MutexLock lock(mutex_);
  const std::optional<size_t> better = std::exchange(better_, std::nullopt);
  return better.has_value() && *better < version_ ? better : std::nullopt;
}

void ServedWatch::ListAgain() {
  const std::shared_ptr<ListWatch> following = watch();
  if (following == nullptr) return;
  Leave(*following);
  Follow(version());
}

void ServedWatch::Stop() {
  if (const std::shared_ptr<ListWatch> following = watch(); following != nullptr) following->Stop();
  asks_.AwaitEnd();
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
