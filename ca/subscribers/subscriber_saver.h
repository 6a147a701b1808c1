// Owns the SubscriberLedger and writes its changes to the database in batches.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_SAVER_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_SAVER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/subscribers/instance_room.h"
#include "ca/subscribers/subscriber_ledger.h"
#include "ca/subscribers/subscriber_store.h"

namespace meshca {

// Owns the ledger and the lock that guards it. One batch is written at a time, and the next one holds whatever changed
// meanwhile, so an older row never overwrites a newer one. An acknowledgement that a crash loses makes its instance
// look behind until its streams are back, never ahead. Thread-safe; calls block on the database only where their
// comments say so.
class SubscriberSaver {
 public:
  // `store` and `clock` outlive the saver. `leaf_lifetime`, `limits` and `delivered_after` are for the ledger.
  SubscriberSaver(SubscriberStore& store, const Clock& clock, absl::Duration leaf_lifetime, InstanceRoom::Limits limits,
                  absl::Duration delivered_after);
  ~SubscriberSaver() { Shutdown(); }

  // Fills the ledger with the rows of the last run. Called before anything else. Blocks on the database.
  absl::Status Load();

  // Calls `change` and begins to save what it changed. Begins no save while one is under way (the next one follows when
  // that has ended) or after one has failed (ChangeAndSaveAll tries again). `change` runs at once, with the lock held:
  // it must not call the saver.
  void Change(absl::FunctionRef<void(SubscriberLedger&)> change);
  // As Change, but also saves rows with new acknowledgements, and rows that could not be saved before.
  void ChangeAndSaveAll(absl::FunctionRef<void(SubscriberLedger&)> change);
  // Calls `look` with the lock held, and saves nothing.
  void ReadLedger(absl::FunctionRef<void(SubscriberLedger&)> look) const;

  // Deletes the rows of instances that the ledger has forgotten.
  void DeleteRows(const std::vector<std::string>& instances);

  struct Evicted {
    absl::Status saved;                     // Unavailable: some were not saved; these are not evicted
    std::vector<SubscriberRecord> records;  // of the chosen instances, after the eviction
    std::vector<EvictionNotice> notices;    // the caller must call them, whatever `saved` says
    uint64_t were_connected = 0;
  };
  // Evicts the instances for which `chosen` is true; returns when that is durable or has failed. Blocks on the
  // database.
  Evicted Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now);

  // Saves for a last time and returns when nothing is under way any more. Nobody may change the ledger afterwards.
  // Blocks on the database. Idempotent.
  void Shutdown();

 private:
  // Takes the next batch; empty if there is nothing to save, a save is under way, or the last one failed.
  std::vector<SubscriberRecord> TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Save(std::vector<SubscriberRecord> batch) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnSaved(const std::vector<std::string>& instances, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDeleted(const std::vector<std::string>& instances, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AwaitEvictions(const std::vector<std::string>& instances, absl::Time evicted_at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SubscriberStore& store_;
  const Clock& clock_;

  mutable Mutex mutex_;
  CondVar ended_;  // a save or a deletion ended
  mutable SubscriberLedger ledger_ ABSL_GUARDED_BY(mutex_);
  size_t deletions_ ABSL_GUARDED_BY(mutex_) = 0;  // under way
  bool saving_ ABSL_GUARDED_BY(mutex_) = false;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;  // the last save failed
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_SAVER_H_
