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
  std::vector<storage::WriteJobPtr> alone;
  alone.push_back(std::move(job));
  SubmitTogether(std::move(alone));
}

void InlineQueue::SubmitTogether(std::vector<storage::WriteJobPtr> jobs) {
  std::vector<storage::WriteJobPtr> together;
  for (storage::WriteJobPtr& job : jobs) {
    const absl::Status refused = faults_->HoldBack(job);
    if (!refused.ok()) {
      job->Done(refused);
    } else if (job != nullptr) {
      together.push_back(std::move(job));
    }
  }
  Write(std::move(together));
}

void InlineQueue::Write(std::vector<storage::WriteJobPtr> jobs) {
  std::vector<storage::WriteJobPtr> written;
  for (storage::WriteJobPtr& job : jobs) {
    const absl::Status befallen = faults_->Befall(*job);
    if (befallen.ok()) {
      written.push_back(std::move(job));
    } else {
      job->Done(befallen);
    }
  }
  if (written.empty()) return;
  std::vector<absl::Status> results(written.size());
  {
    MutexLock lock(database_);
    const absl::Status whole = sink_.Write(written, results);
    uint64_t issuances = 0;
    for (size_t i = 0; i < written.size(); ++i) {
      if (!whole.ok()) results[i] = whole;
      if (results[i].ok() && written[i]->lane() == storage::WriteLane::kIssuance) ++issuances;
    }
    written_ += issuances;
    batches_ += issuances > 0 ? 1 : 0;
  }
  for (size_t i = 0; i < written.size(); ++i) written[i]->Done(std::move(results[i]));
}

storage::WriteStats InlineQueue::stats() const {
  storage::WriteStats stats;
  stats.writable = faults_->broken();
  stats.queued_jobs = faults_->held();
  MutexLock lock(database_);
  stats.rows = written_;
  stats.batches = batches_;
  return stats;
}

}  // namespace meshca
