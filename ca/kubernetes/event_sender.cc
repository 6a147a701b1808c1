#include "ca/kubernetes/event_sender.h"

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca::kubernetes {
namespace {

constexpr size_t kEventBytesMax = 64 * 1024;

std::string NewName(EntropySource& entropy) {
  std::array<uint8_t, 10> bytes;
  entropy.Fill(bytes);
  return absl::StrCat("meshca-", absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

}  // namespace

EventSender::EventSender(EventLimits limits, std::string reporter, ApiServer& server, const Clock& clock,
                         EntropySource& entropy)
    : server_(server), clock_(clock), entropy_(entropy), queue_(limits, std::move(reporter)), executor_(clock) {
  executor_.AddDuty([this] { return Write(); });
}

EventSender::~EventSender() { Shutdown(); }

void EventSender::Tell(ObjectEvent event) {
  std::string name = NewName(entropy_);
  MutexLock lock(mutex_);
  if (stopping_) return;
  queue_.Add(std::move(event), std::move(name), clock_.SinceBoot(), clock_.Now());
  executor_.Nudge();
}

// The executor's duty.
absl::Duration EventSender::Write() {
  std::optional<ApiCall> call;
  {
    MutexLock lock(mutex_);
    if (stopping_) return SerialExecutor::kLook;
    const absl::Duration now = clock_.SinceBoot();
    call = queue_.TakeDue(now);
    if (!call.has_value()) return queue_.NextDue() - now;
    under_way_ = true;
  }
  const ApiServer::CallId id =
      server_.Send(*call, kEventBytesMax, kCallTimeout,
                   [this](const absl::StatusOr<std::string>& answer) { OnWritten(answer.status()); });
  bool ends = false;
  {
    MutexLock lock(mutex_);
    if (!under_way_) return absl::ZeroDuration();  // it has ended by now
    call_ = id;
    ends = stopping_;
  }
  if (ends) server_.Cancel(id);
  return SerialExecutor::kLook;
}

void EventSender::OnWritten(const absl::Status& status) {
  MutexLock lock(mutex_);
  queue_.Ended(status, clock_.SinceBoot());
  under_way_ = false;
  call_.reset();
  if (IsMissingRight(status) && !std::exchange(warned_, true)) {
    LogWarning("no events are written in the cluster: the right is missing, and nothing else is amiss",
               {{"error", std::string(status.message())}});
  }
  executor_.Nudge();
  ended_.NotifyAll();
}

EventCounts EventSender::Counts() const {
  MutexLock lock(mutex_);
  return {queue_.written(), queue_.dropped()};
}

void EventSender::Shutdown() {
  std::optional<ApiServer::CallId> call;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    call = call_;
  }
  if (call.has_value()) server_.Cancel(*call);
  executor_.Shutdown();
  MutexLock lock(mutex_);
  while (under_way_) ended_.Wait(mutex_);
}

}  // namespace meshca::kubernetes
