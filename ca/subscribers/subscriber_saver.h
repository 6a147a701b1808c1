// Keeps the ledger of subscribers in the database: every change follows it there, in batches.
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
// meanwhile, so a row is never overtaken by an older one of the same instance. Thread-safe; no call waits for the
// database but those that say so. What a crash loses counts against its instance until its streams are back: it makes
// nobody appear to hold what it does not.
class SubscriberSaver {
 public:
  // `store` and `clock` outlive the saver. The others are the ledger's.
  SubscriberSaver(SubscriberStore& store, const Clock& clock, absl::Duration leaf_lifetime,
                  InstanceRoom::Limits limits);
  ~SubscriberSaver() { Shutdown(); }

  // Fills the ledger with what the last run left. Before anything else. Blocks on the database.
  absl::Status Load();

  // Changes the ledger, then begins to save what is to be saved, unless a save is under way (the next one follows by
  // itself) or the last one failed (ChangeAndSaveAll tries again). `change` runs at once, with the lock held: it must
  // not call the saver.
  void Change(absl::FunctionRef<void(SubscriberLedger&)> change);
  // The same, and what was acknowledged is saved too, and what could not be saved before.
  void ChangeAndSaveAll(absl::FunctionRef<void(SubscriberLedger&)> change);
  // Reads the ledger, as Change does; what `look` does to it is not saved.
  void ReadLedger(absl::FunctionRef<void(SubscriberLedger&)> look) const;

  // Deletes the rows of instances that the ledger has forgotten.
  void DeleteRows(const std::vector<std::string>& instances);

  struct Evicted {
    absl::Status saved;                     // Unavailable: not all of them are durable; those that are not count again
    std::vector<SubscriberRecord> records;  // as they are now
    std::vector<EvictionNotice> notices;    // to be called, whatever `saved` says
    uint64_t were_connected = 0;
  };
  // Evicts whom `chosen` picks, and returns when it is durable or has failed. Blocks on the database.
  Evicted Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen, const Moment& now);

  // Saves for a last time and returns when nothing is under way any more. Nobody changes the ledger afterwards.
  void Shutdown();

 private:
  // The next batch; empty when there is nothing to save, or when it is not the time.
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
