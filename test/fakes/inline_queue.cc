#include "test/fakes/inline_queue.h"

#include <utility>

namespace meshca {

void QueueFaults::FailWrites(absl::Status why) {
  MutexLock lock(mutex_);
  broken_ = std::move(why);
}

void QueueFaults::Hold(size_t queue_max) {
  MutexLock lock(mutex_);
  held_max_ = queue_max;
}

std::vector<storage::WriteJobPtr> QueueFaults::Release() {
  MutexLock lock(mutex_);
  held_max_.reset();
  return std::exchange(held_, {});
}

void QueueFaults::Abort(int times) {
  MutexLock lock(mutex_);
  aborts_ = times;
}

absl::Status QueueFaults::HoldBack(storage::WriteJobPtr& job) {
  MutexLock lock(mutex_);
  if (job->lane() != storage::WriteLane::kIssuance || !held_max_.has_value()) return absl::OkStatus();
  if (held_.size() >= *held_max_) return absl::ResourceExhaustedError("database: the queue is full");
  held_.push_back(std::move(job));
  return absl::OkStatus();
}

absl::Status QueueFaults::Befall(const storage::WriteJob& job) {
  MutexLock lock(mutex_);
  if (!broken_.ok()) return broken_;
  if (job.lane() != storage::WriteLane::kIssuance || aborts_ == 0) return absl::OkStatus();
  --aborts_;
  return absl::AbortedError("issuance: told to abort");
}

absl::Status QueueFaults::broken() const {
  MutexLock lock(mutex_);
  return broken_;
}

uint64_t QueueFaults::held() const {
  MutexLock lock(mutex_);
  return held_.size();
}

InlineQueue::~InlineQueue() {
  for (const storage::WriteJobPtr& job : faults_->Release()) {
    job->Done(absl::UnavailableError("database: the server is shutting down"));
  }
}

void InlineQueue::Submit(storage::WriteJobPtr job) {
  const absl::Status refused = faults_->HoldBack(job);
  if (!refused.ok()) return job->Done(refused);
  if (job != nullptr) Write(std::move(job));
}

void InlineQueue::Write(storage::WriteJobPtr job) {
  absl::Status result = faults_->Befall(*job);
  if (result.ok()) {
    MutexLock lock(database_);
    const absl::Status written = sink_.Write({&job, 1}, {&result, 1});
    if (!written.ok()) result = written;
    if (result.ok() && job->lane() == storage::WriteLane::kIssuance) ++written_;
  }
  job->Done(std::move(result));
}

storage::WriteStats InlineQueue::stats() const {
  storage::WriteStats stats;
  stats.writable = faults_->broken();
  stats.queued_jobs = faults_->held();
  MutexLock lock(database_);
  stats.batches = stats.rows = written_;
  return stats;
}

}  // namespace meshca
