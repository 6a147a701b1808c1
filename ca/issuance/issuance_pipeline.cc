#include "ca/issuance/issuance_pipeline.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/bounded_queue.h"
#include "ca/base/cpu_count.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/issuance/issuer.h"
#include "ca/issuance/pipeline_counters.h"

namespace meshca {
namespace {

// An activation is committed first and published a moment later; a request caught between the two waits for the new
// authority this long, looking every kAuthorityPoll.
constexpr absl::Duration kAuthorityWait = absl::Milliseconds(500);
constexpr absl::Duration kAuthorityPoll = absl::Milliseconds(2);

enum Lane : size_t { kAgain, kRenewals, kBulk, kLanes };

Lane LaneOf(const CallerIdentity& caller) { return caller.IsRenewal() ? kRenewals : kBulk; }
Lane LaneOf(const SubmittedRequest& request) { return request.with_first_ones ? kBulk : LaneOf(request.caller); }

absl::Status ShuttingDown() {
  return WithReason(absl::UnavailableError("issuance: the CA is shutting down; retry elsewhere or later"),
                    "SHUTTING_DOWN");
}

absl::Status QueueFull() {
  return WithReason(absl::ResourceExhaustedError("issuance: the queue of requests is full; retry with backoff"),
                    "QUEUE_FULL");
}

absl::Status NothingSigns() {
  return WithReason(absl::UnavailableError("issuance: no active issuing authority; see meshca root status"),
                    "NO_ACTIVE_AUTHORITY");
}

size_t ThreadCount(size_t wanted) { return wanted > 0 ? wanted : static_cast<size_t>(CpuCount()); }

class Group;

// One request on its way. Owned by the queue, a pool thread, its group, or the store's callback, never by two.
struct Job {
  SubmittedRequest submitted;
  IssuancePipeline::Done done;
  absl::Duration submitted_at;  // Clock::SinceBoot
  bool renewal = false;
  int attempts = 0;
  bool judged = false;
  bool stale_authority = false;  // the store refused the authority of the last attempt
  IssuanceRequest request;       // once judged
  SignedLeaf leaf;               // once signed
  std::shared_ptr<const AuthoritySnapshot> authorities;
  std::shared_ptr<Group> group;  // null: it is recorded alone
};

using JobPtr = std::unique_ptr<Job>;

// Requests whose records go to the store together. Shared by those that are not signed yet. Thread-safe.
class Group {
 public:
  explicit Group(size_t size) : unsigned_(size) {}

  // One of them is signed (`job`), or will not be (null). All that are signed, once that was the last one.
  std::vector<JobPtr> Take(JobPtr job) {
    MutexLock lock(mutex_);
    if (job != nullptr) signed_.push_back(std::move(job));
    if (--unsigned_ > 0) return {};
    return std::exchange(signed_, {});
  }

 private:
  Mutex mutex_;
  size_t unsigned_ ABSL_GUARDED_BY(mutex_);
  std::vector<JobPtr> signed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

class IssuancePipeline::Impl {
 public:
  Impl(CertificateProfile profile, PipelineOptions options, const AuthoritySnapshots& authorities, IssuanceStore& store,
       const Clock& clock, EntropySource& entropy)
      : issuer_(std::move(profile), entropy),
        attempts_max_(options.attempts_max),
        policy_(options.policy),
        authorities_(authorities),
        store_(store),
        clock_(clock),
        // What was admitted once is never turned away by its own queue, so the first lane has no limit: it cannot hold
        // more than the store had accepted.
        queue_({std::numeric_limits<size_t>::max(), options.queued_renewals_max, options.queued_bulk_max}) {
    const size_t count = ThreadCount(options.threads);
    threads_.reserve(count);
    for (size_t i = 0; i < count; ++i) threads_.emplace_back([this] { Work(); });
  }

  ~Impl() { Shutdown(); }

  void SubmitTogether(std::vector<Submission> submissions) {
    // Renewals must not wait for what they go before.
    std::array<size_t, kLanes> sizes = {};
    for (const Submission& one : submissions) ++sizes[LaneOf(one.request)];
    std::array<std::shared_ptr<Group>, kLanes> groups;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (sizes[lane] > 1) groups[lane] = std::make_shared<Group>(sizes[lane]);
    }
    for (Submission& one : submissions) {
      const Lane lane = LaneOf(one.request);
      Submit(std::move(one.request), std::move(one.done), groups[lane]);
    }
  }

  void Submit(SubmittedRequest request, Done done, std::shared_ptr<Group> group) {
    auto job = std::make_unique<Job>();
    job->group = std::move(group);
    job->renewal = request.caller.IsRenewal();
    const Lane lane = LaneOf(request);
    job->submitted = std::move(request);
    job->done = std::move(done);
    job->submitted_at = clock_.SinceBoot();
    counters_.CountSubmitted();
    {
      MutexLock lock(mutex_);
      ++in_flight_;
    }
    if (queue_.TryPush(job, lane)) return;
    const bool closing = closing_.load(std::memory_order_acquire);
    if (!closing) counters_.CountQueueFull();
    Refuse(std::move(job), closing ? ShuttingDown() : QueueFull());
  }

  absl::Status CheckRoom(const CallerIdentity& caller) {
    if (!queue_.full(LaneOf(caller))) return absl::OkStatus();
    counters_.CountSubmitted();
    counters_.CountQueueFull();
    return QueueFull();
  }

  void Shutdown() {
    {
      MutexLock lock(mutex_);
      closing_.store(true, std::memory_order_release);
    }
    changed_.NotifyAll();
    queue_.Close();
    {
      MutexLock lock(join_mutex_);
      for (std::thread& thread : threads_) thread.join();
      threads_.clear();
    }
    MutexLock lock(mutex_);
    while (in_flight_ != 0) changed_.Wait(mutex_);
  }

  PipelineStats Stats() const {
    PipelineStats stats = counters_.Read();
    {
      MutexLock lock(mutex_);
      stats.in_flight = in_flight_;
    }
    stats.queued_renewals = queue_.size(kRenewals);
    stats.queued_bulk = queue_.size(kBulk);
    return stats;
  }

 private:
  void Work() {
    while (std::optional<JobPtr> job = queue_.Pop()) Handle(*std::move(job));
  }

  // Pool thread: judges, signs and hands the record to the store.
  void Handle(JobPtr job) {
    if (job->attempts > 0) WaitForOtherAuthority(*job);
    if (absl::Status status = Sign(*job); !status.ok()) {
      counters_.CountRefused(status);
      Refuse(std::move(job), std::move(status));
      return;
    }
    // Signed again it is recorded alone: the others of its group have their answers by then.
    if (const std::shared_ptr<Group> group = std::exchange(job->group, nullptr); group != nullptr) {
      return RecordTogether(group->Take(std::move(job)));
    }
    IssuanceStore::Appended alone = RecordOf(std::move(job));
    store_.Append(std::move(alone.record), std::move(alone.done));
  }

  IssuanceStore::Appended RecordOf(JobPtr job) {
    std::shared_ptr<const IssuanceRecord> record = job->leaf.record;
    return {std::move(record), [this, job = std::move(job)](absl::Status status) mutable {
              OnRecorded(std::move(job), std::move(status));
            }};
  }

  void RecordTogether(std::vector<JobPtr> jobs) {
    if (jobs.empty()) return;
    std::vector<IssuanceStore::Appended> records;
    records.reserve(jobs.size());
    for (JobPtr& job : jobs) records.push_back(RecordOf(std::move(job)));
    store_.AppendTogether(std::move(records));
  }

  // Before it was signed.
  void Refuse(JobPtr job, absl::Status why) {
    const std::shared_ptr<Group> group = std::exchange(job->group, nullptr);
    // The others are recorded first: once the last callback has run, Shutdown may destroy everything here.
    if (group != nullptr) RecordTogether(group->Take(nullptr));
    Finish(std::move(job), std::move(why));
  }

  absl::Status Sign(Job& job) {
    job.authorities = authorities_.Current();
    if (job.authorities == nullptr || job.authorities->issuing == nullptr) return NothingSigns();
    if (!job.judged) {
      MESHCA_ASSIGN_OR_RETURN(job.request,
                              JudgeRequest(std::move(job.submitted), job.authorities->bundle->trust_domain, policy_));
      job.judged = true;
    }
    ++job.attempts;
    MESHCA_ASSIGN_OR_RETURN(job.leaf, issuer_.Issue(job.request, *job.authorities->issuing, clock_.Now()));
    return absl::OkStatus();
  }

  // The store's thread, or the pool's when the store refuses at once.
  void OnRecorded(JobPtr job, absl::Status status) {
    // With a reason it is not the serial number that exists, and another signature would meet the same refusal.
    const bool sign_again = status.code() == absl::StatusCode::kAborted ||
                            (status.code() == absl::StatusCode::kAlreadyExists && ReasonOf(status).empty());
    if (sign_again && job->attempts < attempts_max_) {
      counters_.CountSignedAgain();
      job->stale_authority = status.code() == absl::StatusCode::kAborted;
      if (queue_.TryPush(job, kAgain)) return;
      status = ShuttingDown();
    } else if (sign_again) {
      status = WithReason(absl::UnavailableError(absl::StrCat("issuance: not recorded after ", job->attempts,
                                                              " signatures: ", status.message())),
                          "AUTHORITY_CHANGING");
    }
    if (!status.ok()) {
      counters_.CountStoreError();
      Finish(std::move(job), std::move(status));
      return;
    }
    counters_.CountIssued(job->renewal, clock_.SinceBoot() - job->submitted_at);
    IssuedCertificate issued{std::move(job->leaf.chain), std::move(job->leaf.record), std::move(job->authorities)};
    Finish(std::move(job), std::move(issued));
  }

  // Signing again with the authority the store has just refused would fail again. The pool thread may well wait here:
  // until the new one is published, every other request would meet the same refusal.
  void WaitForOtherAuthority(const Job& job) {
    if (!job.stale_authority) return;
    absl::Duration left = kAuthorityWait;
    MutexLock lock(mutex_);
    while (left > absl::ZeroDuration() && !closing_.load(std::memory_order_relaxed) &&
           authorities_.Current() == job.authorities) {
      changed_.WaitFor(mutex_, kAuthorityPoll);
      left -= kAuthorityPoll;
    }
  }

  // The one place where a callback runs.
  void Finish(JobPtr job, absl::StatusOr<IssuedCertificate> result) {
    std::move(job->done)(std::move(result));
    job.reset();
    // Counted down and told in one critical section: once it ends, Shutdown may destroy everything here.
    MutexLock lock(mutex_);
    if (--in_flight_ == 0 && closing_.load(std::memory_order_relaxed)) changed_.NotifyAll();
  }

  const Issuer issuer_;
  const int attempts_max_;
  RequestPolicy* const policy_;
  const AuthoritySnapshots& authorities_;
  IssuanceStore& store_;
  const Clock& clock_;
  PipelineCounters counters_;
  BoundedQueue<JobPtr, kLanes> queue_;
  std::atomic<bool> closing_{false};  // set under mutex_
  mutable Mutex mutex_;
  CondVar changed_;  // closing_ set, in_flight_ zero
  uint64_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  Mutex join_mutex_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(join_mutex_);
};

IssuancePipeline::IssuancePipeline(CertificateProfile profile, PipelineOptions options,
                                   const AuthoritySnapshots& authorities, IssuanceStore& store, const Clock& clock,
                                   EntropySource& entropy)
    : impl_(std::make_unique<Impl>(std::move(profile), options, authorities, store, clock, entropy)) {}

IssuancePipeline::~IssuancePipeline() = default;

void IssuancePipeline::Submit(SubmittedRequest request, Done done) {
  impl_->Submit(std::move(request), std::move(done), nullptr);
}

void IssuancePipeline::SubmitTogether(std::vector<Submission> submissions) {
  impl_->SubmitTogether(std::move(submissions));
}

absl::Status IssuancePipeline::CheckRoom(const CallerIdentity& caller) { return impl_->CheckRoom(caller); }

void IssuancePipeline::Shutdown() { impl_->Shutdown(); }

PipelineStats IssuancePipeline::Stats() const { return impl_->Stats(); }

}  // namespace meshca
