// The jobs that RowStore submits to its writer.
#ifndef MESHCA_STORAGE_STORE_JOBS_H_
#define MESHCA_STORAGE_STORE_JOBS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/issuance/issuance_store.h"
#include "ca/subscribers/subscriber_store.h"
#include "storage/row_sink.h"

namespace meshca::storage {

// Records one issuance. This is the path that has to be fast.
class AppendJob final : public StoreJob {
 public:
  AppendJob(std::shared_ptr<const IssuanceRecord> record, IssuanceStore::AppendDone done)
      : record_(std::move(record)), done_(std::move(done)) {}

  WriteLane lane() const override { return WriteLane::kIssuance; }
  size_t bytes() const override {
    return sizeof *this + record_->spiffe_id.uri().size() + record_->caller.size() + record_->instance.size() + 256;
  }
  absl::Status Apply(WriteContext& context) override { return context.issuances.Append(*record_); }
  const IssuanceRecord* issuance() const override { return record_.get(); }
  void Done(absl::Status status) override { std::move(done_)(std::move(status)); }

 private:
  const std::shared_ptr<const IssuanceRecord> record_;
  IssuanceStore::AppendDone done_;
};

class SubscribersJob final : public StoreJob {
 public:
  SubscribersJob(std::vector<SubscriberRecord> records, SubscriberStore::SaveDone done)
      : records_(std::move(records)), done_(std::move(done)) {}

  WriteLane lane() const override { return WriteLane::kSubscribers; }
  size_t rows() const override { return records_.size(); }
  size_t bytes() const override { return sizeof *this + records_.size() * (sizeof(SubscriberRecord) + 256); }
  absl::Status Apply(WriteContext& context) override {
    for (const SubscriberRecord& record : records_) {
      MESHCA_RETURN_IF_ERROR(context.tables.subscribers.Put(record));
    }
    return absl::OkStatus();
  }
  void Done(absl::Status status) override { std::move(done_)(std::move(status)); }

 private:
  const std::vector<SubscriberRecord> records_;
  SubscriberStore::SaveDone done_;
};

class ForgetSubscribersJob final : public StoreJob {
 public:
  ForgetSubscribersJob(std::vector<std::string> instances, SubscriberStore::SaveDone done)
      : instances_(std::move(instances)), done_(std::move(done)) {}

  WriteLane lane() const override { return WriteLane::kSubscribers; }
  size_t rows() const override { return instances_.size(); }
  size_t bytes() const override { return sizeof *this + instances_.size() * (sizeof(std::string) + 32); }
  absl::Status Apply(WriteContext& context) override {
    for (const std::string& instance : instances_) {
      MESHCA_RETURN_IF_ERROR(context.tables.subscribers.Delete(instance));
    }
    return absl::OkStatus();
  }
  void Done(absl::Status status) override { std::move(done_)(std::move(status)); }

 private:
  const std::vector<std::string> instances_;
  SubscriberStore::SaveDone done_;
};

// A call whose caller blocks until it is done. The job refers to `body` and `outcome` on the caller's stack.
class ControlJob final : public StoreJob {
 public:
  using Body = absl::FunctionRef<absl::Status(Tables&)>;

  class Outcome {
   public:
    absl::Status Wait() {
      MutexLock lock(mutex_);
      while (!known_) changed_.Wait(mutex_);
      return std::move(status_);
    }
    void Set(absl::Status status) {
      // Notified under the lock: the waiter destroys this object as soon as it gets it.
      MutexLock lock(mutex_);
      status_ = std::move(status);
      known_ = true;
      changed_.NotifyAll();
    }

   private:
    Mutex mutex_;
    CondVar changed_;
    bool known_ ABSL_GUARDED_BY(mutex_) = false;
    absl::Status status_ ABSL_GUARDED_BY(mutex_);
  };

  // What `body` refers to and `outcome` outlive the job, because their owner blocks in outcome.Wait().
  ControlJob(Body body, Outcome& outcome) : body_(body), outcome_(outcome) {}

  WriteLane lane() const override { return WriteLane::kControl; }
  size_t bytes() const override { return sizeof *this; }
  absl::Status Apply(WriteContext& context) override { return body_(context.tables); }
  bool MayNeedUndoing() const override { return true; }
  void Done(absl::Status status) override { outcome_.Set(std::move(status)); }

 private:
  const Body body_;
  Outcome& outcome_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORE_JOBS_H_
