#include "ca/server_secrets/early_pod_watch.h"

#include <utility>

#include "absl/strings/str_join.h"
#include "ca/base/log.h"
#include "ca/server_secrets/early_pods.h"

namespace meshca {
namespace {

constexpr size_t kPodsAnswerBytesMax = 8 * 1024 * 1024;  // 500 pods of 16 KB

}  // namespace

EarlyPodWatch::EarlyPodWatch(Options options, kubernetes::ApiServer& server, const Clock& clock)
    : options_(std::move(options)), clock_(clock), calls_(server, options_.call_timeout) {}

void EarlyPodWatch::OnThere(absl::Time since) {
  MutexLock lock(mutex_);
  if (since_ == absl::InfinitePast()) since_ = since;
}

absl::Time EarlyPodWatch::ThereSince() const {
  MutexLock lock(mutex_);
  return since_;
}

void EarlyPodWatch::Look() {
  absl::Time since;
  {
    MutexLock lock(mutex_);
    const absl::Duration now = clock_.SinceBoot();
    if (looking_ || options_.labels.empty() || now < look_at_ || since_ == absl::InfinitePast()) return;
    since = since_;
    look_at_ = now + options_.every;
    looking_ = true;
  }
  calls_.Send(CallToListPods(options_.secret.namespace_name, options_.labels), kPodsAnswerBytesMax,
              [this, since](const absl::StatusOr<std::string>& list) { OnPods(list, since); });
}

void EarlyPodWatch::OnPods(const absl::StatusOr<std::string>& list, absl::Time since) {
  const absl::StatusOr<std::vector<std::string>> early = list.ok() ? StartedBefore(*list, since) : list.status();
  MutexLock lock(mutex_);
  looking_ = false;
  if (!early.ok()) return;
  if (!early->empty() && *early != early_) {
    LogWarning("what was started before its Secret was there has to be restarted",
               {{"object", options_.secret.Text()}, {"pods_of", absl::StrJoin(*early, " ")}});
  }
  early_ = *early;
  if (early_.empty()) look_at_ = absl::InfiniteDuration();
}

std::vector<std::string> EarlyPodWatch::Early() const {
  MutexLock lock(mutex_);
  return early_;
}

}  // namespace meshca
