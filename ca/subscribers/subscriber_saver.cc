#include "ca/subscribers/subscriber_saver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// One save, or deletion, holds at most this many rows: the writer's other work comes between two.
constexpr size_t kBatchMax = 1000;

}  // namespace

SubscriberSaver::SubscriberSaver(SubscriberStore& store, const Clock& clock, absl::Duration leaf_lifetime,
                                 InstanceRoom::Limits limits, absl::Duration delivered_after)
    : store_(store), clock_(clock), ledger_(leaf_lifetime, limits, delivered_after) {}

absl::Status SubscriberSaver::Load() {
  MESHCA_ASSIGN_OR_RETURN(std::vector<SubscriberRecord> rows, store_.LoadSubscribers());
  // Those of agents are AgentRegistry's.
  rows.erase(std::remove_if(rows.begin(), rows.end(), [](const auto& row) { return IsKeptByAgents(row.kind); }),
             rows.end());
  MutexLock lock(mutex_);
  ledger_.Restore(std::move(rows));
  return absl::OkStatus();
}

void SubscriberSaver::Change(absl::FunctionRef<void(SubscriberLedger&)> change) {
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    change(ledger_);
    batch = TakeBatch();
  }
  Save(std::move(batch));
}

void SubscriberSaver::ChangeAndSaveAll(absl::FunctionRef<void(SubscriberLedger&)> change) {
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    change(ledger_);
    ledger_.ChangeAcknowledged();
    failing_ = false;
    batch = TakeBatch();
  }
  Save(std::move(batch));
}

void SubscriberSaver::ReadLedger(absl::FunctionRef<void(SubscriberLedger&)> look) const {
  MutexLock lock(mutex_);
  look(ledger_);
}

std::vector<SubscriberRecord> SubscriberSaver::TakeBatch() {
  if (saving_ || failing_ || !ledger_.HasChanges()) return {};
  std::vector<SubscriberRecord> batch = ledger_.TakeChanges(kBatchMax, clock_.SinceBoot());
  saving_ = !batch.empty();
  return batch;
}

void SubscriberSaver::Save(std::vector<SubscriberRecord> batch) {
  if (batch.empty()) return;
  std::vector<std::string> instances;
  instances.reserve(batch.size());
  for (const SubscriberRecord& row : batch) instances.push_back(row.instance);
  store_.SaveSubscribers(std::move(batch),
                         [this, instances = std::move(instances)](absl::Status status) { OnSaved(instances, status); });
}

void SubscriberSaver::OnSaved(const std::vector<std::string>& instances, const absl::Status& status) {
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    saving_ = false;
    if (!status.ok()) {
      failing_ = true;
      ledger_.Change(instances);
    }
    batch = TakeBatch();
    // Under the lock: whoever waits in Shutdown may destroy the saver as soon as it gets it.
    ended_.NotifyAll();
  }
  if (!status.ok()) {
    LogWarning("SDS: acknowledgements not saved; will be tried again",
               {{"rows", std::to_string(instances.size())}, {"error", std::string(status.message())}});
  }
  Save(std::move(batch));
}

void SubscriberSaver::DeleteRows(const std::vector<std::string>& instances) {
  for (size_t first = 0; first < instances.size(); first += kBatchMax) {
    const auto begin = instances.begin() + static_cast<ptrdiff_t>(first);
    std::vector<std::string> some(begin, begin + static_cast<ptrdiff_t>(std::min(kBatchMax, instances.size() - first)));
    {
      MutexLock lock(mutex_);
      ++deletions_;
    }
    std::vector<std::string> names = some;
    store_.DeleteSubscribers(std::move(some),
                             [this, names = std::move(names)](absl::Status status) { OnDeleted(names, status); });
  }
}

void SubscriberSaver::OnDeleted(const std::vector<std::string>& instances, const absl::Status& status) {
  if (!status.ok()) {
    // Rows that stay behind are read at the next start and deleted then.
    LogWarning("SDS: subscribers that ended not deleted",
               {{"rows", std::to_string(instances.size())}, {"error", std::string(status.message())}});
  }
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    // Who came back meanwhile may have been saved before the deletion was queued.
    ledger_.Change(instances);
    --deletions_;
    batch = TakeBatch();
    ended_.NotifyAll();  // under the lock, as in OnSaved
  }
  Save(std::move(batch));
}

SubscriberSaver::Evicted SubscriberSaver::Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen,
                                                const Moment& now) {
  Evicted evicted;
  SubscriberLedger::Evictions evictions;
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      evicted.saved = absl::UnavailableError("SDS: the server is shutting down");
      return evicted;
    }
    evictions = ledger_.Evict(chosen, now);
    failing_ = false;  // somebody waits: try now, whatever became of the last save
    batch = TakeBatch();
  }
  Save(std::move(batch));
  evicted.notices = std::move(evictions.notices);
  evicted.were_connected = evictions.were_connected;
  MutexLock lock(mutex_);
  evicted.saved = AwaitEvictions(evictions.instances, now.time);
  for (const std::string& name : evictions.instances) {
    std::optional<SubscriberRecord> record = ledger_.Find(name, clock_.SinceBoot());
    if (record.has_value()) evicted.records.push_back(*std::move(record));
  }
  return evicted;
}

// Rows are saved in the order of their changes, one batch at a time; so this waits until the batches that hold the
// evictions have ended. Who came back meanwhile is saved as that.
absl::Status SubscriberSaver::AwaitEvictions(const std::vector<std::string>& instances, absl::Time evicted_at) {
  while (true) {
    const SubscriberLedger::Whereabouts rows = ledger_.RowsOf(instances, evicted_at);
    if (!rows.waiting && !(saving_ && rows.taken_last)) return absl::OkStatus();
    if (rows.waiting && failing_) break;
    ended_.Wait(mutex_);
  }
  const size_t taken_back = ledger_.TakeBackEvictions(instances, evicted_at);
  return absl::UnavailableError(
      absl::StrCat(taken_back, " of ", instances.size(),
                   " subscribers were not evicted, because the database does not take it; the "
                   "server's log says why. They count as ones that have acknowledged nothing"));
}

void SubscriberSaver::Shutdown() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(closed_, true)) return;
  }
  ChangeAndSaveAll([](SubscriberLedger&) {});
  MutexLock lock(mutex_);
  while (saving_ || deletions_ > 0) ended_.Wait(mutex_);
}

}  // namespace meshca
