#include "storage/group_commit_writer.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ca/base/mutex.h"
#include "test/fakes/status_matchers.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

// Each thread's own: ThreadSanitizer cannot follow a Status's reference count inside the prebuilt Abseil.
absl::Status OwnCopy(const absl::Status& status) { return absl::Status(status.code(), status.message()); }

class TestJob final : public WriteJob {
 public:
  TestJob(WriteLane lane, size_t rows, size_t bytes, absl::Status own, std::promise<absl::Status> answer)
      : lane_(lane), rows_(rows), bytes_(bytes), own_(std::move(own)), answer_(std::move(answer)) {}
  WriteLane lane() const override { return lane_; }
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }
  void Done(absl::Status status) override { answer_.set_value(std::move(status)); }
  const absl::Status& own() const { return own_; }

 private:
  const WriteLane lane_;
  const size_t rows_;
  const size_t bytes_;
  const absl::Status own_;
  std::promise<absl::Status> answer_;
};

// A database that waits, fails and recovers as told.
class TestSink final : public WriteSink {
 public:
  absl::Status Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) override {
    MutexLock lock(mutex_);
    ++entered_;
    changed_.NotifyAll();
    while (held_) changed_.Wait(mutex_);
    batches_.push_back(jobs.size());
    for (size_t i = 0; i < jobs.size(); ++i) results[i] = OwnCopy(static_cast<TestJob&>(*jobs[i]).own());
    return OwnCopy(write_);
  }
  absl::StatusOr<bool> Recover() override {
    MutexLock lock(mutex_);
    ++recoveries_;
    if (!recover_.ok()) return OwnCopy(recover_.status());
    return *recover_;
  }
  absl::Status AfterBatch() override {
    MutexLock lock(mutex_);
    return OwnCopy(after_);
  }

  // Write does not return until Release. Returns once a Write is being held.
  void Hold() {
    MutexLock lock(mutex_);
    held_ = true;
  }
  void AwaitHeld(int entered) {
    MutexLock lock(mutex_);
    while (entered_ < entered) changed_.Wait(mutex_);
  }
  void Release() {
    MutexLock lock(mutex_);
    held_ = false;
    changed_.NotifyAll();
  }
  void Set(absl::Status write, absl::StatusOr<bool> recover, absl::Status after = absl::OkStatus()) {
    MutexLock lock(mutex_);
    write_ = std::move(write);
    recover_ = std::move(recover);
    after_ = std::move(after);
  }
  std::vector<size_t> batches() {
    MutexLock lock(mutex_);
    return batches_;
  }
  int recoveries() {
    MutexLock lock(mutex_);
    return recoveries_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int entered_ ABSL_GUARDED_BY(mutex_) = 0;
  int recoveries_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<size_t> batches_ ABSL_GUARDED_BY(mutex_);
  absl::Status write_ ABSL_GUARDED_BY(mutex_);
  absl::StatusOr<bool> recover_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status after_ ABSL_GUARDED_BY(mutex_);
};

class GroupCommitWriterTest : public testing::Test {
 protected:
  GroupCommitWriterTest() {
    // No attempt by itself within a test: RecoverNow makes them.
    limits_.retry_min = limits_.retry_max = absl::Hours(1);
  }
  ~GroupCommitWriterTest() override {
    sink_.Release();
    writer_.reset();
  }
  void Start() { writer_ = std::make_unique<GroupCommitWriter>(sink_, limits_); }

  std::future<absl::Status> Submit(WriteLane lane = WriteLane::kIssuance, size_t rows = 1, size_t bytes = 100,
                                   absl::Status own = absl::OkStatus()) {
    std::promise<absl::Status> answer;
    std::future<absl::Status> future = answer.get_future();
    writer_->Submit(std::make_unique<TestJob>(lane, rows, bytes, std::move(own), std::move(answer)));
    return future;
  }

  WriterLimits limits_;
  TestSink sink_;
  std::unique_ptr<GroupCommitWriter> writer_;
};

TEST_F(GroupCommitWriterTest, WhatArrivesDuringACommitIsTheNextBatch) {
  limits_.batch_rows_max = 4;
  Start();
  sink_.Hold();
  std::vector<std::future<absl::Status>> answers;
  answers.push_back(Submit());
  sink_.AwaitHeld(1);
  for (int i = 0; i < 6; ++i) answers.push_back(Submit());
  answers.push_back(Submit(WriteLane::kSubscribers, 10));  // larger than a batch: alone
  answers.push_back(Submit());
  EXPECT_EQ(writer_->stats().queued_jobs, 8u);
  sink_.Release();
  for (auto& answer : answers) EXPECT_THAT(answer.get(), IsOk());
  EXPECT_THAT(sink_.batches(), ElementsAre(1, 4, 2, 1, 1));
  writer_->Close();
  EXPECT_EQ(writer_->stats().rows, 18u);
  EXPECT_EQ(writer_->stats().batches, 5u);
}

TEST_F(GroupCommitWriterTest, WhatBelongsTogetherIsOneBatch) {
  limits_.batch_rows_max = 4;
  Start();
  sink_.Hold();
  std::vector<std::future<absl::Status>> answers;
  answers.push_back(Submit());
  sink_.AwaitHeld(1);
  const auto submit_together = [&](size_t count) {
    std::vector<WriteJobPtr> jobs;
    for (size_t i = 0; i < count; ++i) {
      std::promise<absl::Status> answer;
      answers.push_back(answer.get_future());
      jobs.push_back(std::make_unique<TestJob>(WriteLane::kIssuance, 1, 100, absl::OkStatus(), std::move(answer)));
    }
    writer_->SubmitTogether(std::move(jobs));
  };
  answers.push_back(Submit());
  answers.push_back(Submit());
  submit_together(3);  // does not fit behind the two
  answers.push_back(Submit());
  submit_together(6);  // larger than a batch
  answers.push_back(Submit());
  submit_together(0);
  sink_.Release();
  for (auto& answer : answers) EXPECT_THAT(answer.get(), IsOk());
  EXPECT_THAT(sink_.batches(), ElementsAre(1, 2, 4, 6, 1));
}

TEST_F(GroupCommitWriterTest, ABadRowFailsAlone) {
  Start();
  sink_.Hold();
  auto first = Submit();
  sink_.AwaitHeld(1);
  auto good = Submit();
  auto bad = Submit(WriteLane::kIssuance, 1, 100, absl::AlreadyExistsError("serial"));
  sink_.Release();
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(good.get(), IsOk());
  EXPECT_THAT(bad.get(), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_EQ(sink_.recoveries(), 0);
}

TEST_F(GroupCommitWriterTest, AFullLaneTurnsAwayItsOwnAlone) {
  limits_.jobs_max = {1, 2, 100};
  limits_.bytes_max = {1000, 1000, 250};
  Start();
  sink_.Hold();
  auto writing = Submit();
  sink_.AwaitHeld(1);
  auto a = Submit();
  auto b = Submit();
  auto c = Submit();
  EXPECT_THAT(c.get(), StatusIs(StatusCode::kResourceExhausted, HasSubstr("2 writes wait")));
  auto control = Submit(WriteLane::kControl);
  auto d = Submit(WriteLane::kSubscribers, 1, 200);
  auto e = Submit(WriteLane::kSubscribers, 1, 100);
  EXPECT_THAT(e.get(), StatusIs(StatusCode::kResourceExhausted)) << "bytes count too";
  sink_.Release();
  for (auto* answer : {&writing, &a, &b, &control, &d}) EXPECT_THAT(answer->get(), IsOk());
  EXPECT_THAT(Submit().get(), IsOk()) << "room again";
}

TEST_F(GroupCommitWriterTest, AFailedBatchIsUnavailableToAll) {
  Start();
  sink_.Set(absl::DataLossError("page 7 is damaged"), absl::UnavailableError("still broken"));
  sink_.Hold();
  auto first = Submit();
  sink_.AwaitHeld(1);
  auto queued = Submit();
  sink_.Release();
  EXPECT_THAT(first.get(), StatusIs(StatusCode::kUnavailable, HasSubstr("page 7")));
  EXPECT_THAT(queued.get(), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(Submit().get(), StatusIs(StatusCode::kUnavailable, HasSubstr("still broken")));
  EXPECT_THAT(sink_.batches(), ElementsAre(1)) << "nothing is written to a broken database";
  EXPECT_THAT(writer_->RecoverNow(), StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(sink_.recoveries(), 2);
  EXPECT_THAT(writer_->stats().writable, StatusIs(StatusCode::kUnavailable));

  sink_.Set(absl::OkStatus(), false);
  EXPECT_THAT(writer_->RecoverNow(), IsOk());
  EXPECT_THAT(writer_->stats().writable, IsOk());
  EXPECT_THAT(Submit().get(), IsOk());
}

TEST_F(GroupCommitWriterTest, ACommitThatHappenedAfterAllCounts) {
  Start();
  sink_.Set(absl::UnavailableError("fsync"), true);
  sink_.Hold();
  auto writing = Submit(WriteLane::kIssuance, 1, 100, absl::AbortedError("not active"));
  sink_.AwaitHeld(1);
  sink_.Release();
  EXPECT_THAT(writing.get(), StatusIs(StatusCode::kAborted)) << "each gets the result it had in that batch";
  EXPECT_THAT(Submit().get(), IsOk());
  sink_.Set(absl::UnavailableError("fsync"), false);
  EXPECT_THAT(Submit().get(), StatusIs(StatusCode::kUnavailable)) << "this one did not happen";
}

TEST_F(GroupCommitWriterTest, FailedHousekeepingLeadsToRecovery) {
  Start();
  sink_.Set(absl::OkStatus(), absl::UnavailableError("disk full"), absl::UnavailableError("checkpoint"));
  EXPECT_THAT(Submit().get(), IsOk()) << "what was written before is written";
  // The writer marks itself broken after the answer; RecoverNow sees either state, a later write never gets through.
  absl::Status status = absl::OkStatus();
  for (int i = 0; i < 1000 && status.ok(); ++i) status = Submit().get();
  EXPECT_THAT(status, StatusIs(StatusCode::kUnavailable));
  sink_.Set(absl::OkStatus(), false);
  EXPECT_THAT(writer_->RecoverNow(), IsOk());
  EXPECT_THAT(Submit().get(), IsOk());
}

TEST_F(GroupCommitWriterTest, CloseWritesWhatIsQueuedAndRefusesTheRest) {
  Start();
  sink_.Hold();
  auto writing = Submit();
  sink_.AwaitHeld(1);
  auto queued = Submit();
  std::thread closer([&] { writer_->Close(); });
  sink_.Release();
  closer.join();
  EXPECT_THAT(writing.get(), IsOk());
  EXPECT_THAT(queued.get(), IsOk());
  EXPECT_THAT(Submit().get(), StatusIs(StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_THAT(writer_->RecoverNow(), StatusIs(StatusCode::kUnavailable));
}

TEST_F(GroupCommitWriterTest, CloseAnswersEvenWhileBroken) {
  Start();
  sink_.Set(absl::UnavailableError("disk full"), absl::UnavailableError("disk full"));
  sink_.Hold();
  auto first = Submit();
  sink_.AwaitHeld(1);
  auto queued = Submit();
  sink_.Release();
  writer_->Close();
  EXPECT_THAT(first.get(), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(queued.get(), StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace meshca::storage
