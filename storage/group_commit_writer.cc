#include "storage/group_commit_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca::storage {
namespace {

// A status that shares nothing with `status`: what crosses threads is each thread's own, because ThreadSanitizer cannot
// follow the reference count inside the prebuilt Abseil.
absl::Status OwnCopy(const absl::Status& status) { return absl::Status(status.code(), status.message()); }

// What a caller hears of a failed database: retry later, whatever the cause's own code. The cause stays in the text.
absl::Status AsUnavailable(const absl::Status& why) { return absl::UnavailableError(why.message()); }

absl::Status Closed() { return absl::UnavailableError("database: the server is shutting down"); }

size_t LaneOf(const WriteJob& job) { return static_cast<size_t>(job.lane()); }

}  // namespace

GroupCommitWriter::GroupCommitWriter(WriteSink& sink, const WriterLimits& limits)
    : sink_(sink), limits_(limits), backoff_(limits.retry_min), thread_([this] { Run(); }) {}

GroupCommitWriter::~GroupCommitWriter() { Close(); }

void GroupCommitWriter::Submit(WriteJobPtr job) {
  std::vector<WriteJobPtr> alone;
  alone.push_back(std::move(job));
  SubmitTogether(std::move(alone));
}

void GroupCommitWriter::SubmitTogether(std::vector<WriteJobPtr> jobs) {
  std::vector<std::pair<WriteJobPtr, absl::Status>> refused;
  bool wake = false;
  {
    MutexLock lock(mutex_);
    const size_t first = queue_.size();
    size_t rows = 0;
    for (WriteJobPtr& job : jobs) {
      absl::Status room = CheckRoom(*job);
      if (!room.ok()) {
        refused.emplace_back(std::move(job), std::move(room));
        continue;
      }
      ++jobs_[LaneOf(*job)];
      bytes_[LaneOf(*job)] += job->bytes();
      rows += job->rows();
      queue_.push_back({std::move(job), 0});
    }
    if (queue_.size() > first) queue_[first].rows_together = rows;
    wake = waiting_ && queue_.size() > first;
  }
  if (wake) wake_.NotifyOne();
  for (auto& [job, why] : refused) job->Done(std::move(why));
}

absl::Status GroupCommitWriter::CheckRoom(const WriteJob& job) const {
  const size_t lane = LaneOf(job);
  if (closed_) return Closed();
  if (!broken_.ok()) return AsUnavailable(broken_);
  if (jobs_[lane] < limits_.jobs_max[lane] && bytes_[lane] + job.bytes() <= limits_.bytes_max[lane]) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("database: the queue is full (", jobs_[lane], " writes wait); retry with backoff"));
}

absl::Status GroupCommitWriter::RecoverNow() {
  MESHCA_CHECK(!OnWriterThread());
  MutexLock lock(mutex_);
  if (closed_) return Closed();
  if (broken_.ok()) return absl::OkStatus();
  retry_now_ = true;
  wake_.NotifyOne();
  const uint64_t before = attempts_;
  while (attempts_ == before && !closed_) recovered_.Wait(mutex_);
  return attempts_ == before ? Closed() : OwnCopy(broken_);
}

void GroupCommitWriter::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    wake_.NotifyOne();
    recovered_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

WriteStats GroupCommitWriter::stats() const {
  MutexLock lock(mutex_);
  return WriteStats{OwnCopy(broken_), queue_.size(), batches_, rows_};
}

void GroupCommitWriter::Run() {
  for (;;) {
    std::vector<WriteJobPtr> batch = NextBatch();
    bool broken = false;
    {
      MutexLock lock(mutex_);
      broken = !broken_.ok();
      if (batch.empty() && closed_) return;
    }
    if (broken) {
      // Jobs that were queued before the failure: they get the answer that those after it get.
      for (const WriteJobPtr& job : batch)
        job->Done(absl::UnavailableError("database: a write before this one failed"));
      if (batch.empty()) TryRecover().IgnoreError();
    } else if (!batch.empty()) {
      WriteBatch(std::move(batch));
    }
  }
}

std::vector<WriteJobPtr> GroupCommitWriter::NextBatch() {
  std::vector<WriteJobPtr> batch;
  MutexLock lock(mutex_);
  while (queue_.empty() && !closed_ && !retry_now_) {
    waiting_ = true;
    // A spurious wake-up only shortens one backoff.
    const bool signalled = broken_.ok() ? (wake_.Wait(mutex_), true) : wake_.WaitFor(mutex_, backoff_);
    waiting_ = false;
    if (!signalled) break;
  }
  retry_now_ = false;
  size_t rows = 0;
  const auto fits = [&](size_t together) { return together == 0 || rows + together <= limits_.batch_rows_max; };
  while (!queue_.empty() && (batch.empty() || fits(queue_.front().rows_together))) {
    WriteJobPtr& job = queue_.front().job;
    rows += job->rows();
    --jobs_[LaneOf(*job)];
    bytes_[LaneOf(*job)] -= job->bytes();
    batch.push_back(std::move(job));
    queue_.pop_front();
  }
  return batch;
}

void GroupCommitWriter::WriteBatch(std::vector<WriteJobPtr> batch) {
  std::vector<absl::Status> results(batch.size());
  absl::Status written = sink_.Write(batch, results);
  if (!written.ok()) {
    LogError("database: a batch failed", {{"cause", std::string(written.message())}});
    MarkBroken(written);
    // The commit may have happened all the same: one attempt to find out, because callers wait. Where it cannot be
    // known now they get Unavailable and no certificate, which is safe either way.
    absl::StatusOr<bool> is_in = TryRecover();
    for (absl::Status& result : results) {
      if (!is_in.ok() || !*is_in) result = AsUnavailable(written);
    }
  } else {
    size_t rows = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (results[i].ok()) rows += batch[i]->rows();
    }
    MutexLock lock(mutex_);
    ++batches_;
    rows_ += rows;
  }
  for (size_t i = 0; i < batch.size(); ++i) batch[i]->Done(std::move(results[i]));
  batch.clear();
  if (!written.ok()) return;
  absl::Status after = sink_.AfterBatch();
  if (after.ok()) return;
  LogError("database: housekeeping failed", {{"cause", std::string(after.message())}});
  MarkBroken(after);
}

absl::StatusOr<bool> GroupCommitWriter::TryRecover() {
  absl::StatusOr<bool> is_in = sink_.Recover();
  absl::Status status = is_in.status();
  if (status.ok()) {
    LogInfo("database: writable again");
    backoff_ = limits_.retry_min;
  } else {
    LogError("database: still not writable", {{"cause", std::string(status.message())}});
    backoff_ = std::min(backoff_ * 2, limits_.retry_max);
  }
  MutexLock lock(mutex_);
  broken_ = status;
  ++attempts_;
  recovered_.NotifyAll();
  return is_in;
}

void GroupCommitWriter::MarkBroken(const absl::Status& why) {
  MutexLock lock(mutex_);
  broken_ = why;
}

}  // namespace meshca::storage
